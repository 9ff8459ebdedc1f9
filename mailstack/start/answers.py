"""What `mailstack init` has to know of a new stack, and the questions for it, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mailstack.upstreams import PRESETS, PresetName

__all__ = [
    "DNS",
    "ENVIRONMENTS",
    "PLACEMENTS",
    "QUESTIONS",
    "TLS",
    "Answers",
    "HostPlace",
    "InDns",
    "Question",
    "host_place",
    "tls_choices",
]

ENVIRONMENTS = ("local", "staging", "prod")
PLACEMENTS = ("vm", "docker", "kubernetes")
DNS = ("cloudflare", "server", "none")
TLS = ("acme", "custom", "internal", "none")
LOGINS = {"sendgrid": "apikey", "mailgun": "postmaster@{domain}"}
SSH_PORT = 22
Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class HostPlace:
    """Where SSH finds a host."""

    user: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class InDns:
    """What DNS has of a domain already: exchangers as ``(preference, host)``, and the texts of its records."""

    mx: tuple[tuple[int, str], ...] = ()
    spf: str | None = None
    dmarc: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Everything a stack file is made of. ``host`` None: no machine is configured over SSH.

    ``month`` is the month of the new DKIM keys, as 202611. ``in_dns`` maps a domain to what is there already.
    ``tls`` none: applications talk to the relay, and there is neither Postal nor Caddy.
    """

    stack: str
    environment: Literal["local", "staging", "prod"]
    domains: tuple[str, ...]
    placement: Literal["vm", "docker", "kubernetes"]
    upstream: PresetName
    dns: Literal["cloudflare", "server", "none"]
    tls: Literal["acme", "custom", "internal", "none"]
    contact: str
    month: str
    host: HostPlace | None = None
    host_key: str | None = None
    public_ipv4: str | None = None
    public_ipv6: str | None = None
    context: str | None = None
    image: str | None = None
    egress: tuple[str, ...] = ()
    region: str | None = None
    upstream_host: str | None = None
    username: str | None = None
    certificate: str | None = None
    in_dns: Mapping[str, InDns] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One thing to know: ``flag`` without dashes gives it without a question.

    ``choices`` and ``default`` follow from what is known so far; no default means that only a person knows it.
    ``when`` says whether the stack needs it at all. ``many``: a list with commas between.
    """

    key: str
    flag: str
    text: str
    choices: Callable[[Values], tuple[str, ...]] = lambda _values: ()
    default: Callable[[Values], str | None] = lambda _values: None
    # Offered to a person, but never taken without one.
    hint: Callable[[Values], str | None] = lambda _values: None
    when: Callable[[Values], bool] = lambda _values: True
    many: bool = False


def host_place(text: str) -> HostPlace:
    """Read ``[user@]address[:port]``. Raises ValueError."""
    user, at, place = text.rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or (":" in address and not address.startswith("[")):
        address, port = place, ""
    if not address or (at and not user) or (port and not port.isdigit()):
        raise ValueError(f'"{text}" is not of the form user@address or user@address:port')
    return HostPlace(user=user or "root", address=address.strip("[]"), port=int(port or SSH_PORT))


def tls_choices(values: Values) -> tuple[str, ...]:
    """Return what TLS may be.

    Postal looks for its relay by a name in public DNS, which a container's has not; on a cluster it needs more than is
    asked here. Neither has a web UI then. A CA that nobody else trusts is not for prod.
    """
    if values.get("placement") in {"docker", "kubernetes"}:
        return ("none",)
    return tuple(kind for kind in TLS if kind != "internal" or values.get("environment") != "prod")


def _environment(values: Values) -> str:
    stack = str(values["stack"])
    return stack if stack in ENVIRONMENTS else "prod"


def _on_host(values: Values) -> bool:
    return values.get("placement") in {"vm", "docker"} or values.get("dns") == "server"


def _needs_login(values: Values) -> bool:
    preset = PRESETS.get(values.get("upstream") or "")
    return preset is not None and (not preset.authorises_by_ip or bool(values.get("username")))


def _login(values: Values) -> str | None:
    known = LOGINS.get(str(values.get("upstream")))
    domains = values.get("domains")
    return known.format(domain=domains[0]) if known and domains else None


def _cluster(values: Values) -> bool:
    return values.get("placement") == "kubernetes"


QUESTIONS: tuple[Question, ...] = (
    Question(key="domains", flag="domain", text="Domains mail is sent from, the main one first", many=True),
    Question(
        key="environment",
        flag="environment",
        text="How strict the rules are",
        choices=lambda _values: ENVIRONMENTS,
        default=_environment,
    ),
    Question(
        key="placement",
        flag="placement",
        text="What runs the relay: a host, Docker on a host, or a Kubernetes cluster",
        choices=lambda _values: PLACEMENTS,
        default=lambda _values: "vm",
    ),
    Question(
        key="upstream",
        flag="upstream",
        text="Service that takes the mail",
        choices=lambda _values: tuple(PRESETS),
        hint=lambda _values: "google-workspace",
    ),
    Question(
        key="region",
        flag="upstream-region",
        text="Region of the account there, such as eu-west-1 (SES), or us or eu (Mailgun)",
        when=lambda values: values.get("upstream") in {"ses", "mailgun"},
    ),
    Question(
        key="upstream_host",
        flag="upstream-host",
        text="Its host name",
        when=lambda values: values.get("upstream") == "custom",
    ),
    Question(
        key="username",
        flag="upstream-user",
        text="Login name there",
        default=_login,
        when=_needs_login,
    ),
    Question(
        key="dns",
        flag="dns",
        text="Who publishes the records: Cloudflare, a server on the host, or nobody (they are printed)",
        choices=lambda _values: DNS,
        hint=lambda values: values.get("dns_seen"),
    ),
    Question(
        key="tls",
        flag="tls",
        text="Certificates for Postal's web UI and SMTP; none: no Postal, applications talk to the relay",
        choices=tls_choices,
        default=lambda values: "none" if len(tls_choices(values)) == 1 else None,
        hint=lambda _values: "acme",
    ),
    Question(
        key="certificate_file",
        flag="certificate",
        text="File with the certificate and its chain (PEM)",
        when=lambda values: values.get("tls") == "custom",
    ),
    Question(key="host_text", flag="host", text="Host, as user@address", when=_on_host),
    Question(
        key="context",
        flag="context",
        text="Context of the cluster in your kubeconfig",
        when=_cluster,
    ),
    Question(
        key="image",
        flag="image",
        text="Image of the relay, registry/name:tag",
        when=_cluster,
    ),
    Question(
        key="egress",
        flag="egress-address",
        text="Public addresses that mail leaves the cluster from",
        when=_cluster,
        many=True,
    ),
    Question(
        key="contact",
        flag="contact",
        text="Mailbox for notices, DMARC reports and certificates",
        default=lambda values: f"postmaster@{values['domains'][0]}" if values.get("domains") else None,
    ),
)
