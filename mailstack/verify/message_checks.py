"""The whole way: a test message is sent and read back, and every part of what arrived is judged."""

import time
from collections.abc import Iterator

from mailstack.verify.authentication import Received, Signature, aligned, read, signatures
from mailstack.verify.context import Context
from mailstack.verify.hops import hops
from mailstack.verify.mailbox import MailboxError
from mailstack.verify.message import SubmissionError, new_token, written
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn

__all__ = ["message"]

SLOW_SECONDS = 60.0
METHODS = {
    "spf": "the return-path's SPF record names the address that sent it; see the check spf",
    "dkim": "the key in DNS fits the signer's, and nothing changes the message after it is signed; see the check dkim",
    "dmarc": "SPF or DKIM passes for the domain in From, or for one below the same organizational domain",
}


@check(
    number=19,
    name="message",
    group="C",
    title="A test message arrives, signed, aligned, over TLS all the way",
    source="RFC 8601, RFC 6376, RFC 9989, RFC 3848",
    uses="smtplib, imaplib, authres, dkimpy",
)
def message(context: Context) -> Iterator[Finding]:
    """Send a message with a subject of its own by the declared path; wait for it; read its headers."""
    path = context.message
    if path is None:
        yield not_applicable("", "no way to send and to read back was given")
        return
    token, started = new_token(), time.monotonic()
    way = f"{path.sender} to {path.recipient}"
    try:
        said = path.submission.submit(path.sender, path.recipient, written(path.sender, path.recipient, token))
        said = f"{path.told}: {said}" if path.told else said
        raw = path.mailbox.wait_for(token, context.left(path.seconds))
    except SubmissionError as error:
        yield _not_sent(way, error, path.told)
        return
    except MailboxError as error:
        yield unknown(way, f"it was sent ({said}); the mailbox could not be read: {error}")
        return
    seconds = time.monotonic() - started
    if raw is None:
        yield unknown(way, f"sent ({said}), and not there after {seconds:.0f} s; look into the queue, and in Spam")
        return
    yield ok(way, f"arrived after {seconds:.1f} s", f"handed over: {said}", f"subject {token}")
    received = read(raw, path.authserv_id)
    signed = tuple(signatures(raw, context.dns))
    yield from _authentication(way, received)
    yield from _signatures(way, received, signed)
    yield _alignment(way, received, signed)
    yield _unsubscribe(way, received, signed)
    yield from _hops(way, received)


def _not_sent(way: str, error: SubmissionError, told: str) -> Finding:
    by = (f"by {told}",) if told else ()
    if not error.refused:
        return unknown(way, str(error), *by)
    return fail(
        way,
        f"it was refused: {error}",
        *by,
        expected="the message is taken",
        fix="compare the reply with docs/how-to/postal.md and google-workspace-relay.md; check name, password, sender",
    )


def _authentication(way: str, received: Received) -> Iterator[Finding]:
    if not received.authserv_id:
        yield unknown(f"{way}: results", "the receiving server writes no Authentication-Results that can be read")
        return
    for method, right in METHODS.items():
        subject = f"{way}: {method}"
        found = received.results.get(method, ())
        shown = "; ".join(f"{result} ({_shown(properties)})" for result, properties in found)
        if not found:
            yield unknown(subject, f"{received.authserv_id} says nothing about {method}")
        elif any(result == "pass" for result, _ in found):
            yield ok(subject, f"{received.authserv_id}: {shown}")
        elif all(result in {"temperror", "none"} for result, _ in found) and method != "dmarc":
            yield warn(subject, f"{received.authserv_id}: {shown}", expected="pass", fix=right)
        else:
            yield fail(subject, f"{received.authserv_id}: {shown}", expected="pass", fix=right)


def _shown(properties: object) -> str:
    return ", ".join(f"{key}={value}" for key, value in properties.items()) if isinstance(properties, dict) else ""


def _signatures(way: str, received: Received, signed: tuple[Signature, ...]) -> Iterator[Finding]:
    if not signed:
        yield fail(
            f"{way}: signature",
            "the message is not signed",
            expected=f"a DKIM signature with d={received.author}",
            fix="have Postal or Google sign for the domain: publish its key, then switch signing on",
        )
    for one in signed:
        subject = f"{way}: signature of {one.selector}._domainkey.{one.domain}"
        if one.valid is None:
            yield unknown(subject, one.why)
        elif one.valid:
            yield ok(subject, f"fits the key in DNS; signs {', '.join(one.headers)}")
        else:
            yield fail(subject, one.why, expected="a signature that verifies", fix=METHODS["dkim"])


def _alignment(way: str, received: Received, signed: tuple[Signature, ...]) -> Finding:
    by_dkim = [one.domain for one in signed if one.valid and aligned(one.domain, received.author)]
    by_spf = [
        domain
        for result, properties in received.results.get("spf", ())
        for domain in (properties.get("smtp.mailfrom", "").rpartition("@")[2],)
        if result == "pass" and aligned(domain, received.author)
    ]
    shown = ([f"DKIM d={by_dkim[0]}"] if by_dkim else []) + ([f"SPF {by_spf[0]}"] if by_spf else [])
    subject = f"{way}: alignment"
    if by_dkim:
        return ok(subject, f"From {received.author}: {', '.join(shown)}")
    expected = f"a valid signature with d={received.author}: SPF alone is lost when mail is forwarded"
    fix = "sign with the domain in From, and give it a return path below the same domain"
    judge = warn if by_spf else fail
    found = f"From {received.author}: {', '.join(shown) or 'neither DKIM nor SPF is of its domain'}"
    return judge(subject, found, expected=expected, fix=fix)


def _unsubscribe(way: str, received: Received, signed: tuple[Signature, ...]) -> Finding:
    subject = f"{way}: List-Unsubscribe"
    fix = "sign List-Unsubscribe too (RFC 8058 §4), and let no filter on the way remove it"
    if not received.unsubscribe:
        return warn(subject, "it was sent and did not arrive", expected="it arrives, signed", fix=fix)
    if any(one.valid and "list-unsubscribe" in one.headers for one in signed):
        return ok(subject, f"{received.unsubscribe}, signed")
    return warn(subject, f"{received.unsubscribe}, not signed", expected="it is signed", fix=fix)


def _hops(way: str, received: Received) -> Iterator[Finding]:
    found = hops(received.received)
    lines = tuple(str(hop) for hop in found)
    subject = f"{way}: TLS"
    clear = [hop for hop in found if hop.secure is False]
    if clear:
        yield fail(
            subject,
            f"in clear from {clear[0].sender} to {clear[0].receiver}",
            *lines,
            expected="TLS on every hop between machines",
            fix="have the sender demand it (smtp_tls_security_level = encrypt in Postfix), and the receiver offer it",
        )
    elif any(hop.secure for hop in found):
        yield ok(subject, f"TLS on {sum(1 for hop in found if hop.secure)} hops", *lines)
    else:
        yield unknown(subject, "no Received header is about a hop between machines", *lines)
    subject = f"{way}: delay"
    times = [hop.seconds for hop in found if hop.seconds is not None]
    if not times:
        return
    worst = max((hop for hop in found if hop.seconds is not None), key=lambda hop: hop.seconds or 0)
    if (worst.seconds or 0) < SLOW_SECONDS:
        yield ok(subject, f"{sum(times):.0f} s over {len(found)} hops", *lines)
    else:
        yield warn(
            subject,
            str(worst),
            *lines,
            expected=f"less than {SLOW_SECONDS:.0f} s on each hop",
            fix="look why it waited there: greylisting, a queue, a clock that is wrong (check host-health)",
        )
