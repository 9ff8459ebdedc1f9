"""SMTP sessions: one is held with each listener, and every check reads what it showed.

Uses the standard library's smtplib. No session of this module sends a message; each ends with QUIT.
"""

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from mailstack.verify.context import Context
from mailstack.verify.listeners import Endpoint
from mailstack.verify.own_name import address_literal
from mailstack.verify.reaching import Unreached, connect
from mailstack.verify.tls import Handshake, handshake_of, lenient, strict, why_not

__all__ = ["Client", "Session", "session", "talking", "words"]

IMPLICIT, STARTTLS = "implicit", "starttls"
# What a server says that waits for credentials.
GO_ON = 334


class Client(smtplib.SMTP):
    """A client on a connection that exists already; ``name`` is what its certificate is to be made out to.

    ``helo`` is what it says in EHLO, empty for the address of its end.
    """

    def __init__(self, connection: socket.socket, name: str, helo: str) -> None:
        """Say nothing yet."""
        super().__init__(local_hostname=helo or address_literal(connection), timeout=connection.gettimeout() or 0)
        self._connection = connection
        self._host = name

    def _get_socket(self, *_: object) -> socket.socket:
        return self._connection

    def greeted(self) -> str:
        """Read the greeting, say EHLO; return the greeting's text. Raises smtplib.SMTPException or OSError."""
        code, text = self.connect(self._host, 25)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        self.introduce()
        return text.decode("utf-8", "replace")

    def introduce(self) -> str:
        """Say EHLO; return the name that the server gives itself."""
        self.ehlo_or_helo_if_needed()
        words = (self.ehlo_resp or self.helo_resp or b"").decode("utf-8", "replace").split()
        return words[0].lower() if words else ""

    def say(self, command: str) -> tuple[int, str]:
        """Send a line, return code and text of the reply."""
        code, text = self.docmd(command)
        return code, " ".join(text.decode("utf-8", "replace").split())

    @property
    def offers(self) -> Mapping[str, str]:
        """Return the extensions that were offered, in small letters, with their words."""
        return {name: " ".join(words.split()) for name, words in self.esmtp_features.items()}

    def getreply(self) -> tuple[int, bytes]:
        """Read a reply. Raises TimeoutError for none in time, which smtplib calls a connection that was closed."""
        try:
            return super().getreply()
        except smtplib.SMTPServerDisconnected as error:
            if isinstance(error.__context__, TimeoutError):
                raise TimeoutError("no answer in time") from None
            raise

    def __enter__(self) -> Self:
        """Nothing to do: it is connected."""
        return self

    def __exit__(self, *_: object) -> None:
        """Say QUIT where that is still possible."""
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.docmd("QUIT")
        self.close()


@dataclass(frozen=True, kw_only=True)
class Session:
    """What one listener showed.

    ``unreached`` says why there was nothing to see, and then all else is empty. ``offers`` are the extensions before
    TLS, ``offers_secure`` within it. ``plain_auth`` is what it said to AUTH before TLS, None where it was not tried.
    ``tls_failure`` is why there is no TLS.
    """

    endpoint: Endpoint
    unreached: Unreached | None = None
    greeting: str = ""
    name: str = ""
    offers: Mapping[str, str] = field(default_factory=dict)
    offers_secure: Mapping[str, str] = field(default_factory=dict)
    plain_auth: tuple[int, str] | None = None
    tls: Handshake | None = None
    tls_failure: str = ""


def session(context: Context, endpoint: Endpoint) -> Session:
    """Return what ``endpoint`` shows; it is asked once in a run. A second time only if it cannot be trusted."""
    return context.once(("session", endpoint), lambda: _look(context, endpoint))


def _look(context: Context, endpoint: Endpoint) -> Session:
    seen = _once(context, endpoint, strict(context.around.authorities), "")
    if seen.tls_failure and (seen.endpoint.tls == IMPLICIT or "starttls" in seen.offers):
        again = _once(context, endpoint, lenient(), seen.tls_failure)
        # What was shown before TLS is known from the first time.
        return (
            replace(seen, tls=again.tls, tls_failure=again.tls_failure, offers_secure=again.offers_secure)
            if (seen.greeting)
            else again
        )
    return seen


def _once(context: Context, endpoint: Endpoint, trust: ssl.SSLContext, distrust: str) -> Session:
    seen = Session(endpoint=endpoint)
    try:
        connection = connect(context, endpoint.host, endpoint.address, endpoint.port)
    except Unreached as error:
        return replace(seen, unreached=error)
    with contextlib.closing(connection):
        if endpoint.tls == IMPLICIT:
            try:
                secure = trust.wrap_socket(connection, server_hostname=endpoint.certificate_name)
            except TimeoutError:
                return replace(seen, unreached=Unreached("no answer to TLS in time"))
            except OSError as error:
                return replace(seen, tls_failure=why_not(error) or "the server hung up in the handshake")
            with secure:
                seen = replace(seen, tls=handshake_of(secure, distrust))
                return seen if endpoint.protocol != "smtp" else _talk(context, seen, secure, trust, distrust)
        return _talk(context, seen, connection, trust, distrust)


def _talk(context: Context, seen: Session, connection: socket.socket, trust: ssl.SSLContext, distrust: str) -> Session:
    endpoint = seen.endpoint
    with Client(connection, endpoint.certificate_name, context.around.helo) as client:
        try:
            greeting = client.greeted()
            offers = client.offers
            if endpoint.tls == IMPLICIT:
                return replace(seen, greeting=greeting, name=client.introduce(), offers_secure=offers)
            seen = replace(seen, greeting=greeting, name=client.introduce(), offers=offers)
            if endpoint.ours and not distrust:
                seen = replace(seen, plain_auth=_plain_auth(client))
            if "starttls" not in offers:
                return replace(seen, tls_failure="STARTTLS is not offered")
        except TimeoutError:
            return replace(seen, unreached=Unreached("it took the connection and said nothing in time"))
        except (smtplib.SMTPException, OSError) as error:
            return replace(seen, unreached=Unreached(f"no SMTP: {words(error)}"))
        try:
            client.starttls(context=trust)
            assert isinstance(client.sock, ssl.SSLSocket)  # noqa: S101 - tells the type checker
            seen = replace(seen, tls=handshake_of(client.sock, distrust))
            client.introduce()
            return replace(seen, offers_secure=client.offers)
        except TimeoutError:
            return replace(seen, tls_failure="no answer to TLS in time")
        except smtplib.SMTPException as error:
            return seen if seen.tls else replace(seen, tls_failure=words(error))
        except OSError as error:
            return replace(seen, tls_failure=why_not(error) or "the server hung up in the handshake")


def _plain_auth(client: Client) -> tuple[int, str]:
    """Ask to log in, without TLS and without saying anything: a good server refuses at once."""
    code, text = client.say("AUTH PLAIN")
    if code == GO_ON:
        client.say("*")  # RFC 4954 section 4: takes it back
    return code, text


@contextlib.contextmanager
def talking(context: Context, endpoint: Endpoint, *, secure: bool = True) -> Iterator[Client]:
    """Hold a session of one's own, after EHLO; ``secure`` False stays in clear where TLS is not implicit.

    The certificate is read by another check, so it is not judged here. Raises Unreached; a listener that could not be
    reached once in this run is not tried again.
    """
    known = session(context, endpoint).unreached
    if known is not None:
        raise Unreached(str(known), refused=known.refused)
    with contextlib.ExitStack() as stack:
        try:
            connection = connect(context, endpoint.host, endpoint.address, endpoint.port)
            stack.callback(connection.close)
            if endpoint.tls == IMPLICIT:
                connection = lenient().wrap_socket(connection, server_hostname=endpoint.certificate_name)
            client = stack.enter_context(Client(connection, endpoint.certificate_name, context.around.helo))
            client.greeted()
            if secure and endpoint.tls != IMPLICIT and "starttls" in client.offers:
                client.starttls(context=lenient())
                client.introduce()
        except TimeoutError:
            raise Unreached("no answer in time") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Unreached(f"no SMTP: {words(error)}") from None
        yield client


def words(error: Exception) -> str:
    """Return what went wrong in a session: the reply, or what the network says."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        return f"{error.smtp_code} {' '.join(shown.split())}"
    return why_not(error) if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException) else str(error)
