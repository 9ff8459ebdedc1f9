"""Names that are served over HTTPS: those in links of messages, and web hosts."""

import contextlib
import http.client
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mailstack.verify.certificates import judge
from mailstack.verify.context import Context
from mailstack.verify.listeners import addresses, each
from mailstack.verify.model import Finding, State, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.reaching import Unreached, connect
from mailstack.verify.tls import Handshake, handshake_of, lenient, strict, why_not

__all__ = ["Page", "secure_page", "tracking", "web"]

HTTP, HTTPS = 80, 443
# What hstspreload.org and internet.nl ask for at least is a year; less than half a year protects hardly anybody.
HSTS_SECONDS = 15_552_000
MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What came for ``GET /``. ``unreached`` says why there is nothing; ``failure`` why there is no answer to read."""

    address: str
    unreached: Unreached | None = None
    tls: Handshake | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    failure: str = ""


def secure_page(context: Context, name: str, address: str) -> Page:
    """Ask ``address`` for ``https://name/``. A second time only if the certificate cannot be trusted."""
    return context.once(("page", name, address), lambda: _secure_page(context, name, address))


def _secure_page(context: Context, name: str, address: str) -> Page:
    page = Page(address=address)
    distrust = ""
    for trust in (strict(context.around.authorities), lenient()):
        try:
            connection = connect(context, name, address, HTTPS)
        except Unreached as error:
            return replace(page, unreached=error)
        with contextlib.closing(connection):
            try:
                with trust.wrap_socket(connection, server_hostname=name) as secure:
                    return _asked(replace(page, tls=handshake_of(secure, distrust)), secure, name)
            except TimeoutError:
                return replace(page, unreached=Unreached("no answer to TLS in time"))
            except OSError as error:
                distrust = why_not(error) or "the server hung up in the handshake"
    return replace(page, failure=distrust)


def _plain_page(context: Context, name: str, address: str) -> Page:
    page = Page(address=address)
    try:
        with contextlib.closing(connect(context, name, address, HTTP)) as connection:
            return _asked(page, connection, name)
    except Unreached as error:
        return replace(page, unreached=error)


def _asked(page: Page, connection: socket.socket, name: str) -> Page:
    try:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        reply = http.client.HTTPResponse(connection)
        reply.begin()
    except (OSError, http.client.HTTPException) as error:
        return replace(page, failure=f"no answer to GET /: {error or type(error).__name__}")
    return replace(page, status=reply.status, headers={key.lower(): value for key, value in reply.getheaders()})


@check(
    number=24,
    name="tracking",
    group="D",
    title="Names for links in mail are served over HTTPS with a valid certificate",
    source="RFC 9110 §4.2.2, RFC 9525",
    uses="ssl, cryptography",
)
def tracking(context: Context) -> Iterator[Finding]:
    """Open every tracking name over HTTPS, at each of its addresses."""
    names = dict.fromkeys(name for domain in context.target.domains for name in domain.tracking)
    if not names:
        yield not_applicable("", "no tracking name is known")
    for found in each(list(names), lambda name: list(_tracking(context, name))):
        yield from found


def _tracking(context: Context, name: str) -> Iterator[Finding]:
    for page in _pages(context, name):
        if isinstance(page, Finding):
            yield page
            continue
        subject = f"{name} {page.address}"
        finding = _reached(subject, page, name)
        if finding.state is State.OK and (page.failure or page.status >= 500):
            finding = warn(
                subject,
                page.failure or f"GET / is answered with {page.status}",
                *finding.details,
                expected="an answer of Postal's web process: links in messages lead here",
                fix="see whether Postal runs, and whether Caddy has the name",
            )
        yield finding


@check(
    number=38,
    name="web",
    group="F",
    title="Web hosts: HTTPS, redirect from HTTP, HSTS, certificate",
    source="RFC 6797 §6.1, §7.2; RFC 9110 §15.4",
    uses="ssl, cryptography, http.client",
)
def web(context: Context) -> Iterator[Finding]:
    """Open every web host over HTTPS and HTTP, at each of its addresses."""
    if not context.target.web:
        yield not_applicable("", "no web host is known")
    for found in each(context.target.web, lambda name: list(_web(context, name))):
        yield from found


def _web(context: Context, name: str) -> Iterator[Finding]:
    for page in _pages(context, name):
        if isinstance(page, Finding):
            yield page
            continue
        finding = _reached(f"{name} {page.address}", page, name)
        yield finding if finding.state is not State.OK else _policy(context, name, page, finding)


def _pages(context: Context, name: str) -> Iterator[Page | Finding]:
    places = addresses(context, name)
    if not places:
        answer = context.look(name, "A")
        if not answer.known:
            yield unknown(name, f"its address is not known: {answer}")
            return
        yield fail(name, "it has no address", expected="an A record", fix="publish it, or remove the name")
    yield from (secure_page(context, name, address) for address in places)


def _reached(subject: str, page: Page, name: str) -> Finding:
    if page.unreached is not None:
        if not page.unreached.refused:
            return unknown(subject, str(page.unreached))
        fix = "start the web server, open port 443 in the firewall"
        return fail(subject, "connection refused", expected="HTTPS on port 443", fix=fix)
    if page.tls is None:
        fix = "have the web server get a certificate for the name"
        return fail(subject, f"no TLS: {page.failure}", expected="TLS 1.2 or newer", fix=fix)
    return judge(subject, page.tls, name)


def _policy(context: Context, name: str, page: Page, good: Finding) -> Finding:
    if page.failure:
        return warn(good.subject, page.failure, *good.details, expected="an answer", fix="look into its log")
    strict_transport = page.headers.get("strict-transport-security", "")
    found = MAX_AGE.search(strict_transport)
    plain = _plain_page(context, name, page.address)
    target = plain.headers.get("location", "")
    redirected = 300 <= plain.status < 400 and target.lower().startswith(f"https://{name}")
    details = (f"GET https://{name}/: {page.status}", f"GET http://{name}/: {_shown(plain)}", *good.details)
    if not redirected and plain.status:
        return fail(
            good.subject,
            f"http://{name}/ is answered with {_shown(plain)}",
            *details,
            expected=f"a redirect to https://{name}/",
            fix="redirect in the web server; Caddy does so by itself where it has the name with HTTPS",
        )
    if found is None or int(found.group(1)) < HSTS_SECONDS:
        return warn(
            good.subject,
            f"Strict-Transport-Security: {strict_transport or 'missing'}",
            *details,
            expected=f"max-age of {HSTS_SECONDS} or more, so that browsers never try HTTP again (RFC 6797)",
            fix="set the header in the web server: header Strict-Transport-Security max-age=31536000 in Caddy",
        )
    if not redirected and plain.unreached is not None and plain.unreached.refused:
        return warn(
            good.subject,
            "port 80 is closed",
            *details,
            expected=f"a redirect to https://{name}/ for who types the bare name; ACME's HTTP-01 needs the port too",
            fix="open port 80 in the firewall and redirect there",
        )
    return ok(good.subject, f"HTTPS, redirect, HSTS {int(found.group(1)) // 86400} days; {good.found}", *details)


def _shown(plain: Page) -> str:
    if plain.unreached is not None:
        return str(plain.unreached)
    return plain.failure or f"{plain.status} {plain.headers.get('location', '')}".strip()
