"""What a company decides about the web server, its names and certificates, with the checks of each field.

Sources: Caddy's documentation of the Caddyfile and of automatic HTTPS; RFC 8555 (ACME), RFC 8461 (MTA-STS),
RFC 6797 (HSTS).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "LETS_ENCRYPT",
    "Acme",
    "CaddyDefinition",
    "CaddyDefinitionError",
    "Certificates",
    "Custom",
    "Internal",
    "MtaStsPolicy",
    "SmtpDelivery",
    "pair_name",
]

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
# A year, the least that counts for browsers' own lists (hstspreload.org); RFC 6797 names no number.
HSTS_YEAR = 31_536_000
# RFC 8461 §3.2: "a maximum value of 31557600".
MTA_STS_LONGEST = 31_557_600

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+\Z")
UPSTREAM = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\]):([0-9]{1,5})\Z", re.IGNORECASE)
# Nothing in these can mean more to the Caddyfile than it says: no blank, quote, brace, backslash or line end.
PLAIN = re.compile(r"[^\s\"'`{}\\\x00-\x1f]+\Z")
URL = re.compile(r"https://[^/\s]+(/\S*)?\Z")
MODES = ("enforce", "testing", "none")


class CaddyDefinitionError(ValueError):
    """A field of the definition cannot be used; the text names the field, its value, the rule and the fix."""


@dataclass(frozen=True, kw_only=True)
class Acme:
    """Certificates by ACME from exactly one issuer: there is no other to fall back to, so CAA can name it.

    ``directory`` is the issuer's directory URL; ``ca_file`` a CA on the host for the TLS of a private ACME server.
    Challenge ``dns`` writes the record at Cloudflare: it needs a Caddy built with that module and a token (a secret
    of the role); ``resolvers`` are the name servers asked whether the record is there (``1.1.1.1:53``).
    """

    email: str
    directory: str = LETS_ENCRYPT
    ca_file: str | None = None
    challenge: Literal["http", "dns"] = "http"
    resolvers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Custom:
    """A certificate of the company's own: PEM, leaf first, its chain below. Its key is a secret of the role.

    ``ca_file`` is a CA on the host that the chain ends at; None means the authorities of the system.
    """

    certificate: str
    ca_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Internal:
    """Caddy's own CA, for development: nobody trusts it who was not told to."""


Certificates = Acme | Custom | Internal


@dataclass(frozen=True, kw_only=True)
class MtaStsPolicy:
    """The policy at https://mta-sts.<domain>/.well-known/mta-sts.txt; ``max_age`` in seconds (RFC 8461 §3.2)."""

    domain: str
    mode: Literal["testing", "enforce", "none"] = "testing"
    mx: tuple[str, ...] = ()
    max_age: int = 604_800

    @property
    def name(self) -> str:
        """Return the host name the policy is served at."""
        return f"mta-sts.{self.domain}"

    @property
    def text(self) -> str:
        """Return the policy's exact text; lines end with CRLF (RFC 8461 §3.2)."""
        lines = ["version: STSv1", f"mode: {self.mode}", *(f"mx: {name}" for name in self.mx)]
        return "".join(f"{line}\r\n" for line in [*lines, f"max_age: {self.max_age}"])


@dataclass(frozen=True, kw_only=True)
class SmtpDelivery:
    """Where the certificate of Postal's SMTP server goes: ``directory``/smtp.cert and smtp.key for ``uid``:``gid``.

    The certificate really served is asked for at ``address``:``port`` with STARTTLS.
    """

    name: str
    directory: str = "/opt/postal/config"
    uid: int = 999
    gid: int = 999
    address: str = "127.0.0.1"
    port: int = 25


@dataclass(frozen=True, kw_only=True)
class CaddyDefinition:
    """Names, where requests for them go, and where their certificate comes from.

    ``web_names`` and ``tracking_names`` go to ``web_upstream`` (``host:port``, plain HTTP on the host or a private
    network). ``hsts_seconds`` None: a year, nothing with an internal CA. ``copr_repository`` is where Rocky and RHEL
    get the package; None: from the repositories the host has. ``extra_global`` and ``extra_web`` are lines of
    Caddyfile for the global options and the web UI's site; the host's own Caddy checks them before use.
    ``certificate_names`` have a certificate that others on the host read, and no site.

    Raises CaddyDefinitionError for a field that cannot be used.
    """

    certificates: Certificates
    placement: Literal["service", "container"] = "service"
    image: str = "docker.io/library/caddy:2"
    copr_repository: str | None = "@caddy/caddy"
    web_names: tuple[str, ...] = ()
    web_upstream: str = "127.0.0.1:5000"
    tracking_names: tuple[str, ...] = ()
    mta_sts: tuple[MtaStsPolicy, ...] = ()
    smtp: SmtpDelivery | None = None
    certificate_names: tuple[str, ...] = ()
    hsts_seconds: int | None = None
    max_request_mb: int = 35
    expiry_warning_days: int = 14
    issue_wait_seconds: int = 180
    access_log: bool = True
    extra_global: tuple[str, ...] = ()
    extra_web: tuple[str, ...] = ()
    on_remove: Literal["keep", "remove"] = "keep"

    def __post_init__(self) -> None:
        """Check every field, so that no text of it can mean more to Caddy than it says."""
        for problem in _problems(self):
            raise CaddyDefinitionError(problem)

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that has a certificate, each once."""
        own = (*self.web_names, *self.tracking_names, *(policy.name for policy in self.mta_sts))
        return tuple(dict.fromkeys((*own, *([self.smtp.name] if self.smtp else []), *self.certificate_names)))

    @property
    def hsts(self) -> int:
        """Return max-age of Strict-Transport-Security; 0: the header is not sent."""
        if self.hsts_seconds is not None:
            return self.hsts_seconds
        return 0 if isinstance(self.certificates, Internal) else HSTS_YEAR


def _problems(definition: CaddyDefinition) -> Iterator[str]:
    yield from _name_problems(definition)
    yield from _certificate_problems(definition.certificates)
    match = UPSTREAM.match(definition.web_upstream)
    if not match or not 0 < int(match[2]) < 65_536:
        yield f"web_upstream {definition.web_upstream!r}: must be host:port; write for example 127.0.0.1:5000"
    if not PLAIN.match(definition.image):
        yield f"image {definition.image!r}: must be the name of an image, without blanks"
    for policy in definition.mta_sts:
        yield from _policy_problems(policy)
    for field, value, least in (
        ("max_request_mb", definition.max_request_mb, 1),
        ("expiry_warning_days", definition.expiry_warning_days, 1),
        ("issue_wait_seconds", definition.issue_wait_seconds, 0),
        ("hsts_seconds", definition.hsts, 0),
    ):
        if value < least:
            yield f"{field} {value}: must be at least {least}"
    if definition.smtp is not None:
        if not definition.smtp.directory.startswith("/"):
            yield f"smtp.directory {definition.smtp.directory!r}: must be an absolute path on the host"
        if not 0 < definition.smtp.port < 65_536:
            yield f"smtp.port {definition.smtp.port}: must be from 1 to 65535"


def _name_problems(definition: CaddyDefinition) -> Iterator[str]:
    fields = [
        *(("web_names", name) for name in definition.web_names),
        *(("tracking_names", name) for name in definition.tracking_names),
        *(("mta_sts", policy.name) for policy in definition.mta_sts),
    ]
    taken: dict[str, str] = {}
    smtp = [("smtp.name", definition.smtp.name)] if definition.smtp else []
    smtp += [("certificate_names", name) for name in definition.certificate_names]
    for field, name in [*fields, *smtp]:
        if not HOST_NAME.match(name):
            yield f"{field} {name!r}: must be a full host name in lower case (RFC 1123 §2.1), no wildcard"
    for field, name in fields:
        if name in taken:
            yield f"{field} {name!r}: is in {taken[name]} as well; a name has one site, remove one"
        taken[name] = field
    if not taken and definition.smtp is None and not definition.certificate_names:
        yield "web_names (): there is no name to serve; give at least one name or smtp"


def _certificate_problems(certificates: Certificates) -> Iterator[str]:
    if isinstance(certificates, Acme):
        if not PLAIN.match(certificates.email) or certificates.email.count("@") != 1:
            yield f"certificates.email {certificates.email!r}: must be a mail address (RFC 8555 §7.3 contact)"
        if not URL.match(certificates.directory) or not PLAIN.match(certificates.directory):
            yield f"certificates.directory {certificates.directory!r}: must be an https URL (RFC 8555 §6.1)"
        for resolver in certificates.resolvers:
            if not PLAIN.match(resolver):
                yield f"certificates.resolvers {resolver!r}: must be an address, with or without a port"
        if certificates.resolvers and certificates.challenge != "dns":
            yield "certificates.resolvers: are only asked with challenge dns; remove them"
    if isinstance(certificates, Custom) and "-----BEGIN CERTIFICATE-----" not in certificates.certificate:
        yield "certificates.certificate: must be PEM text with -----BEGIN CERTIFICATE-----"
    ca_file = None if isinstance(certificates, Internal) else certificates.ca_file
    if ca_file is not None and not ca_file.startswith("/"):
        yield f"certificates.ca_file {ca_file!r}: must be an absolute path on the host"


def _policy_problems(policy: MtaStsPolicy) -> Iterator[str]:
    if policy.mode not in MODES:
        yield f"mta_sts.mode {policy.mode!r}: must be one of {', '.join(MODES)} (RFC 8461 §3.2)"
    if not policy.mx and policy.mode != "none":
        yield f"mta_sts.mx of {policy.domain}: must name at least one mail exchanger (RFC 8461 §3.2)"
    for name in policy.mx:
        if not HOST_NAME.match(name.removeprefix("*.")):
            yield f"mta_sts.mx {name!r}: must be a host name, *. in front is allowed (RFC 8461 §3.2)"
    if not 0 <= policy.max_age <= MTA_STS_LONGEST:
        yield f"mta_sts.max_age {policy.max_age}: must be at most {MTA_STS_LONGEST} seconds (RFC 8461 §3.2)"


def pair_name(certificate: str) -> str:
    """Return the name of the folder a custom pair is kept in: another certificate, another folder."""
    return hashlib.sha256(certificate.strip().encode()).hexdigest()[:16]
