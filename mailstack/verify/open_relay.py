"""Tries to have our servers pass mail on for strangers: RCPT only, never DATA, so nothing is ever sent.

The list is what the open-relay tests of the last decades have found in the wild: sender tricks, and recipients that a
server may rewrite to an address of others after it has decided.
"""

import secrets
import smtplib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailstack.verify.context import Context
from mailstack.verify.listeners import Endpoint, each, no_endpoint, our_smtp
from mailstack.verify.model import Finding, check, fail, ok, unknown
from mailstack.verify.reaching import Unreached
from mailstack.verify.recipients import PER_SESSION, taken
from mailstack.verify.smtp import Client, talking, words

__all__ = ["Attempt", "attempts", "open_relay"]

# RFC 2606: they belong to nobody who could be bothered.
FOREIGN, OTHER = "example.net", "example.org"
# A reply that ends the session: later attempts need another.
CLOSING = 421


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A sender and a recipient. ``rewritten``: its domain is ours, so only a server that rewrites it is open."""

    name: str
    sender: str
    recipient: str
    rewritten: bool = False


def attempts(ours: str, host: str, address: str) -> tuple[Attempt, ...]:
    """Return the catalogue for a domain of ours, the host's name and its address."""
    literal = f"IPv6:{address}" if ":" in address else address
    victim, stranger = f"mailstack-verify@{FOREIGN}", f"mailstack-verify@{OTHER}"
    local, _, _ = victim.partition("@")
    senders = {
        "stranger to stranger": stranger,
        "null sender to stranger": "",
        "sender of our domain": f"mailstack-verify@{ours}",
        "sender postmaster of our domain": f"postmaster@{ours}",
        "sender of the host's name": f"mailstack-verify@{host}",
        "sender of the host's address": f"mailstack-verify@[{literal}]",
        "sender without a domain": "postmaster",
        "sender localhost": "root@localhost",
    }
    recipients = {
        "quoted recipient": f'"{victim}"',
        "recipient in brackets": f"<{victim}>",
        "source route": f"@{ours}:{victim}",
        "source route by the host": f"@{host}:{victim}",
    }
    rewritten = {
        "percent hack": f"{local}%{FOREIGN}@{ours}",
        "percent hack by the host": f"{local}%{FOREIGN}@{host}",
        "percent hack by the address": f"{local}%{FOREIGN}@[{literal}]",
        "quoted percent hack": f'"{local}%{FOREIGN}"@{ours}',
        "quoted local part": f'"{victim}"@{ours}',
        "quoted local part by the address": f'"{victim}"@[{literal}]',
        "two at signs": f"{victim}@{ours}",
        "bang path": f"{FOREIGN}!{local}@{ours}",
        "bang path by the host": f"{FOREIGN}!{local}@{host}",
    }
    return (
        *(Attempt(name=name, sender=sender, recipient=victim) for name, sender in senders.items()),
        Attempt(name="bang path alone", sender=stranger, recipient=f"{FOREIGN}!{local}", rewritten=True),
        *(Attempt(name=name, sender=stranger, recipient=to) for name, to in recipients.items()),
        *(Attempt(name=name, sender=stranger, recipient=to, rewritten=True) for name, to in rewritten.items()),
    )


@check(
    number=40,
    name="open-relay",
    group="G",
    title="Strangers cannot send through our servers",
    source="RFC 2505 §2.1, RFC 5321 §3.6",
    uses="smtplib",
)
def open_relay(context: Context) -> Iterator[Finding]:
    """Try the whole catalogue at every SMTP port of ours, without logging in."""
    places = our_smtp(context)
    found = [finding for finding in each(places, lambda place: _tried(context, place)) if finding is not None]
    yield from found
    yield from no_endpoint(context, places, found)


def _tried(context: Context, place: Endpoint) -> Finding | None:
    ours = context.target.domains[0].name if context.target.domains else place.host
    catalogue = attempts(ours, place.host, place.address)
    # A server that takes any local part of our domain takes those of the catalogue too, and rewrites nothing.
    control = Attempt(
        name="any address of ours", sender=f"mailstack-verify@{OTHER}", recipient=f"{secrets.token_hex(6)}@{ours}"
    )
    said: dict[Attempt, tuple[int, str]] = {}
    try:
        for batch in _batches((control, *catalogue)):
            said.update(_replies(context, place, batch))
    except TimeoutError:
        why = "no answer in time"
    except (Unreached, smtplib.SMTPException, OSError) as error:
        why = words(error)
    else:
        why = ""
    if not said and not place.declared:
        return None
    return _judged(str(place), catalogue, control, said, why)


def _judged(
    subject: str, catalogue: Sequence[Attempt], control: Attempt, said: dict[Attempt, tuple[int, str]], why: str
) -> Finding:
    catches_all = taken(said.get(control, (0, ""))[0])
    lines = [
        f"{attempt.name}: MAIL FROM:<{attempt.sender}> RCPT TO:<{attempt.recipient}>: {said[attempt][0]} "
        f"{said[attempt][1]}"
        for attempt in catalogue
        if attempt in said
    ]
    through = [attempt for attempt in catalogue if taken(said.get(attempt, (0, ""))[0])]
    certain = [attempt for attempt in through if not (attempt.rewritten and catches_all)]
    if certain:
        names = ", ".join(attempt.name for attempt in certain)
        return fail(
            subject,
            f"it takes mail for strangers: {names}",
            *lines,
            expected="every attempt is refused: an open relay is found within hours and on every block list the day "
            "after",
            fix="Postfix: smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, "
            "reject_unauth_destination, and mynetworks as small as it can be; no allow_percent_hack; "
            "close the port until then",
        )
    if why:
        return unknown(subject, f"{len(lines)} of {len(catalogue)} attempts refused, then: {why}", *lines)
    note = f"; {len(through)} are taken as local parts, as any is there" if through else ""
    later = sum(1 for attempt in catalogue if 400 <= said[attempt][0] < 500)
    for_now = f", {later} of them for now" if later else ""
    return ok(subject, f"{len(catalogue) - len(through)} attempts refused{for_now}{note}", *lines)


def _batches(catalogue: Sequence[Attempt]) -> Iterator[Sequence[Attempt]]:
    for start in range(0, len(catalogue), PER_SESSION):
        yield catalogue[start : start + PER_SESSION]


def _replies(context: Context, place: Endpoint, batch: Sequence[Attempt]) -> Iterator[tuple[Attempt, tuple[int, str]]]:
    with talking(context, place) as client:
        for attempt in batch:
            context.left(1)
            answer = _reply(client, attempt)
            if answer[0] == CLOSING:
                raise Unreached(f"{answer[0]} {answer[1]}")
            yield attempt, answer


def _reply(client: Client, attempt: Attempt) -> tuple[int, str]:
    code, text = client.say(f"MAIL FROM:<{attempt.sender}>")
    if not taken(code):
        return code, text
    answer = client.say(f"RCPT TO:<{attempt.recipient}>")
    client.say("RSET")
    return answer
