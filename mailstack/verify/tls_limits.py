"""What clients may do to a server's TLS: negotiate again and again (TLS 1.2), send data at once (TLS 1.3, 0-RTT)."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mailstack.verify.context import Context
from mailstack.verify.listeners import Endpoint, each, no_endpoint, tls_places
from mailstack.verify.model import Finding, check, ok, unknown, warn
from mailstack.verify.offers import Unasked, forward_secret, static_rsa
from mailstack.verify.openssl_client import NoOpenSsl, Talk, talk
from mailstack.verify.smtp import IMPLICIT, session
from mailstack.verify.tls import Handshake

__all__ = ["early_data", "renegotiation"]

# internet.nl: up to ten are a limit, more are none.
LIMIT = 10
HANDSHAKE_SECONDS = 8.0
STEP_SECONDS = 3.0
CONNECTED = r"(?m)^    Verify return code|^Verify return code"
GREETING = r"(?m)^220[ -]"
FINISHED = r"<<< TLS 1\.2,? Handshake \[length [0-9a-f]+\], Finished"
ALLOWANCE = re.compile(r"Max Early Data: (\d+)")
# Tickets come before the first answer. With STARTTLS openssl itself prints the last line of what came before TLS, which
# is "250 ": so it is the first line of an answer with several that counts.
ANSWERED = r"<<< .*, NewSessionTicket|(?m:^(?:250-|[45]\d\d |HTTP/1))"
EARLY = r"Early data was (accepted|rejected|not sent)"


def _each_of_ours(
    context: Context, look: Callable[[Context, Endpoint, Handshake], Finding], *, version: str
) -> Iterator[Finding]:
    places = tuple(place for place in tls_places(context) if place.ours)

    def one(place: Endpoint) -> Finding | None:
        tls = session(context, place).tls
        if tls is None:
            return None
        try:
            return look(context, place, tls)
        except NoOpenSsl as error:
            return unknown(str(place), str(error))
        except TimeoutError as error:
            return unknown(str(place), f"{version}: {error}")

    found = [finding for finding in each(places, one) if finding is not None]
    yield from found
    yield from no_endpoint(context, places, found)


@check(
    number=28,
    name="tls-renegotiation",
    group="E",
    title="Clients cannot negotiate again and again on one connection",
    source="RFC 9325 §3.5; NCSC-NL: IT Security Guidelines for TLS, client-initiated renegotiation (as internet.nl)",
    uses="openssl (the program)",
)
def renegotiation(context: Context) -> Iterator[Finding]:
    """Ask each listener of ours to negotiate again, up to eleven times on one connection of TLS 1.2."""
    yield from _each_of_ours(context, _renegotiation, version="TLS 1.2")


def _renegotiation(context: Context, place: Endpoint, _: Handshake) -> Finding:
    subject, said = str(place), forward_secret(context, place)
    if said is None:
        said = static_rsa(context, place)
    if isinstance(said, Unasked):
        return unknown(subject, said.why)
    if said is None:
        return ok(subject, "no TLS 1.2, and TLS 1.3 has no renegotiation")
    with talk(context, place, "-tls1_2", "-msg") as talking:
        if not talking.until(CONNECTED, HANDSHAKE_SECONDS):
            return unknown(subject, f"openssl agrees on no TLS 1.2 with it: {_last(talking)}")
        if place.protocol == "smtp" and place.tls == IMPLICIT:
            talking.until(GREETING, STEP_SECONDS)  # one that comes into the handshake ends it
        times = 0
        while times <= LIMIT and _again(talking):
            times += 1
    if times > LIMIT:
        return warn(
            subject,
            f"clients may negotiate again without limit: {times} times on one connection",
            expected=f"none, or at most {LIMIT}: each costs the server much more than the client",
            fix="tls_ssl_options = NO_RENEGOTIATION in Postfix (3.4 or newer); OpenSSL 3 and Go (Caddy) refuse by "
            "default, so update the server, or what stands before it",
        )
    return ok(subject, f"refused after {times}" if times else "refused")


def _again(talking: Talk) -> bool:
    """Ask for one more handshake; return whether there was one. Raises TimeoutError."""
    before = len(talking.said)
    talking.say("R")
    return talking.until(FINISHED, STEP_SECONDS, since=before)


@check(
    number=28,
    name="tls-early-data",
    group="E",
    title="No 0-RTT: what a client says before the handshake is over can be said again by others",
    source="RFC 8446 §8, RFC 9325 §3.3; NCSC-NL: IT Security Guidelines for TLS, 0-RTT (as internet.nl)",
    uses="openssl (the program)",
)
def early_data(context: Context) -> Iterator[Finding]:
    """Read what the session tickets of each listener of ours allow; where they allow any, send nothing as 0-RTT."""
    yield from _each_of_ours(context, _early_data, version="TLS 1.3")


def _early_data(context: Context, place: Endpoint, tls: Handshake) -> Finding:
    subject = str(place)
    if tls.version != "TLSv1.3":
        return ok(subject, f"{tls.version}, and only TLS 1.3 has 0-RTT")
    with tempfile.TemporaryDirectory(prefix="mailstack-verify-") as folder:
        kept, nothing = Path(folder) / "session.pem", Path(folder) / "nothing"
        nothing.touch()
        with talk(context, place, "-tls1_3", "-msg", "-sess_out", str(kept)) as talking:
            if not talking.until(CONNECTED, HANDSHAKE_SECONDS):
                return unknown(subject, f"openssl agrees on no TLS 1.3 with it: {_last(talking)}")
            allowed = _allowance(context, place, talking)
        if allowed is None:
            return ok(subject, "no session tickets, so no 0-RTT")
        if not allowed:
            return ok(subject, "session tickets allow no 0-RTT")
        with talk(context, place, "-tls1_3", "-sess_in", str(kept), "-early_data", str(nothing)) as talking:
            talking.until(EARLY, HANDSHAKE_SECONDS)
            came = re.search(EARLY, talking.said)
            last = _last(talking)
    if came is None or came[1] == "not sent":
        return unknown(subject, f"tickets allow {allowed} bytes of 0-RTT; openssl did not get that far: {last}")
    if came[1] == "rejected":
        return ok(subject, f"0-RTT is refused, though tickets allow {allowed} bytes")
    return warn(
        subject,
        f"0-RTT is accepted, up to {allowed} bytes",
        expected="none: who records it can send it again, a login or a message too",
        fix="switch early data off: ssl_early_data off in nginx, no allow-0rtt in HAProxy, 0-RTT off at the CDN; "
        "Postfix, Postal and Caddy do not offer it over TCP",
    )


def _allowance(context: Context, place: Endpoint, talking: Talk) -> int | None:
    """Return how many bytes the tickets allow, None where there is no ticket when the server answers a question."""
    if place.protocol == "smtp":
        talking.say(f"EHLO {context.around.helo or '[127.0.0.1]'}\r")
    else:
        talking.say(f"HEAD / HTTP/1.1\r\nHost: {place.certificate_name}\r\nConnection: close\r\n\r")
    with contextlib.suppress(TimeoutError):  # a server that says nothing has sent its tickets before that
        talking.until(ANSWERED, STEP_SECONDS)
    talking.hang_up(STEP_SECONDS)
    found = [int(number) for number in ALLOWANCE.findall(talking.said)]
    return max(found) if found else None


def _last(talking: Talk) -> str:
    """Return the last thing of use that openssl said."""
    lines = [line.strip() for line in talking.said.splitlines() if "error" in line.lower() or "alert" in line.lower()]
    return lines[-1].rpartition(":SSL routines:")[2] if lines else "it hung up"
