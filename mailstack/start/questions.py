"""The questions of `mailstack init`, as data: what may be answered, and when a stack needs it."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from mailstack.settings.cluster_types import ObjectName
from mailstack.settings.environments import ENVIRONMENTS
from mailstack.settings.problems import Problem
from mailstack.settings.types import (
    DomainName,
    EmailAddress,
    HostAddress,
    HostName,
    ImageReference,
    IpAddress,
    UserName,
    broken,
)
from mailstack.settings.upstream_model import UpstreamSettings
from mailstack.settings.upstream_rules import login_problems, region_problems
from mailstack.start.answers import InDns, host_place
from mailstack.start.found import takes_no_mail
from mailstack.upstreams import PRESETS

__all__ = [
    "DNS", "PLACEMENTS", "QUESTIONS", "PublicAddress", "Question", "needs_host", "postal_choices",
    "settled", "tls_choices", "upstream_choices", "upstream_seen",
]  # fmt: skip

PLACEMENTS = ("vm", "docker", "kubernetes", "none")
DNS = ("cloudflare", "server", "none")
LOGINS = {"sendgrid": "apikey", "mailgun": "postmaster@{domain}"}
LAST_PORT = 65535
GOOGLES_EXCHANGERS = ("google.com", "googlemail.com")
Values = Mapping[str, Any]


def _host_text(text: str) -> str:
    place = host_place(text)
    settled(UserName, place.user)
    settled(HostAddress, place.address)
    if not 1 <= place.port <= LAST_PORT:
        raise ValueError(f"port {place.port} must be from 1 to {LAST_PORT}")
    return text


HostText = Annotated[str, AfterValidator(_host_text)]
PUBLIC = ("must be a public address in prod", "write the one that others see, after NAT")


def _global(address: str) -> str:
    if not ipaddress.ip_address(address).is_global:
        raise broken(*PUBLIC)
    return address


PublicAddress = Annotated[IpAddress, AfterValidator(_global)]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One thing to know: ``flag`` without dashes gives it without a question.

    ``choices`` and ``default`` follow from what is known so far; no default means that only a person knows it.
    ``when`` says whether the stack needs it at all. ``many``: a list with commas between. ``kind`` is the type that
    the setting has, ``rules`` what the settings say of it beside other answers: an answer is checked by both at once.
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
    kind: Any = None
    rules: Callable[[Values, str], Iterable[Problem]] = lambda _values, _answer: ()


def settled(kind: Any, answer: str) -> str:
    """Return an answer in the form that the setting takes: a name in small letters and in its A-label form.

    Raises ValueError with what is wrong, and the way to mend it.
    """
    if kind is None:
        return answer
    try:
        return str(TypeAdapter(kind).validate_python(answer))
    except ValidationError as error:
        [found, *_] = error.errors(include_url=False)
        told = found.get("ctx", {})
        if "rule" not in told:
            raise ValueError(str(told.get("error", found["msg"]))) from None
        raise ValueError(f'"{answer}" {told["rule"]}. Fix: {told["fix"]}') from None


def _region_rules(values: Values, answer: str) -> Iterable[Problem]:
    return region_problems("", UpstreamSettings(preset=values["upstream"], region=answer))


def _login_rules(values: Values, answer: str) -> Iterable[Problem]:
    upstream = UpstreamSettings(preset=values["upstream"], auth="sasl", username=answer)
    return (one for one in login_problems("", upstream) if one.field == ".username")


def _egress_rules(values: Values, answer: str) -> Iterable[Problem]:
    if values.get("environment") == "prod" and not ipaddress.ip_address(answer).is_global:
        yield Problem(field="", value=answer, rule=PUBLIC[0], fix=PUBLIC[1])


def _contact_rules(values: Values, answer: str) -> Iterable[Problem]:
    if takes_no_mail(values.get("in_dns", {}).get(answer.rpartition("@")[2].lower())):
        yield Problem(
            field="", value=answer, rule="is at a domain that takes no mail: its MX is a null MX (RFC 7505)",
            fix="write a mailbox that somebody reads",
        )  # fmt: skip


def upstream_choices(values: Values) -> tuple[str, ...]:
    """Return who may take the mail: Postal alone cannot log in anywhere."""
    return tuple(
        name for name, preset in PRESETS.items() if values.get("placement") != "none" or preset.authorises_by_ip
    )


def postal_choices(values: Values) -> tuple[str, ...]:
    """Return where Postal may run beside a relay.

    It finds a relay by a name: of its own host in public DNS, of a service inside of its cluster. A container has
    neither, so beside one Postal hands over to the upstream itself, which has to know it by its address. On another
    machine than the relay it would check no certificate on the way, which the policy ``tls-is-checked`` refuses.
    """
    placement = values.get("placement")
    if placement == "docker":
        return ("vm", "none") if values.get("engine") == "host" and not _needs_login(values) else ("none",)
    return {"kubernetes": ("kubernetes", "none"), "none": ("vm", "kubernetes")}.get(str(placement), ("vm", "none"))


def tls_choices(values: Values) -> tuple[str, ...]:
    """Return where Postal's certificates may come from. A CA that nobody else trusts is not for prod."""
    if values.get("postal") == "none":
        return ("none",)
    if values.get("postal") == "kubernetes":
        return ("cert-manager", "secret")
    return ("acme", "custom") if values.get("environment") == "prod" else ("acme", "custom", "internal")


def needs_host(values: Values) -> bool:
    """Tell whether the stack configures a machine over SSH."""
    return (
        values.get("placement") == "vm"
        or (values.get("placement") == "docker" and values.get("engine") == "host")
        or values.get("postal") == "vm"
        or values.get("dns") == "server"
    )


def upstream_seen(found: InDns | None) -> str | None:
    """Return who takes a domain's mail today, by its mailboxes, else by whom SPF lets send."""
    if found is None:
        return None
    if any(host == end or host.endswith(f".{end}") for _, host in found.mx for end in GOOGLES_EXCHANGERS):
        return "google-workspace"
    terms = (found.spf or "").lower().split()
    sources = {name: preset.spf.domain for name, preset in PRESETS.items() if preset.spf is not None}
    return next((name for name, domain in sources.items() if f"include:{domain}" in terms), None)


def _environment(values: Values) -> str:
    *_, last = re.split(r"[-_.]", str(values["stack"]))  # of mycompany-staging, too
    return last if last in ENVIRONMENTS else "prod"


def _needs_login(values: Values) -> bool:
    preset = PRESETS.get(values.get("upstream") or "")
    return preset is not None and (not preset.authorises_by_ip or bool(values.get("username")))


def _login(values: Values) -> str | None:
    known = LOGINS.get(str(values.get("upstream")))
    domains = values.get("domains")
    return known.format(domain=domains[0]) if known and domains else None


def _postal(values: Values) -> str | None:
    """Return the usual place: a host beside a relay on one. `--tls` alone says whether Postal is wanted."""
    choices, wanted = postal_choices(values), values.get("tls_given")
    if wanted == "none" or len(choices) == 1:
        usual = "none"
    elif wanted or values.get("placement") in {"vm", "none"}:
        usual = choices[0]
    else:
        usual = "none"
    return usual if usual in choices else None


def _contact(values: Values) -> str | None:
    """Return the postmaster of the first domain that takes mail, as each that does has to have one."""
    found = values.get("in_dns", {})
    return next(
        (f"postmaster@{name}" for name in values.get("domains", ()) if not takes_no_mail(found.get(name))), None
    )


def _on_cluster(values: Values) -> bool:
    return values.get("placement") == "kubernetes" or values.get("postal") == "kubernetes"


def _postal_on_cluster(values: Values) -> bool:
    return values.get("postal") == "kubernetes"


def _leaves_elsewhere(values: Values) -> bool:
    """Tell whether mail leaves from addresses that are no host's of the stack."""
    placement = values.get("placement")
    return (
        placement == "kubernetes"
        or (placement == "docker" and values.get("engine") == "local")
        or (placement == "none" and values.get("postal") == "kubernetes")
    )


def _seen(key: str) -> Callable[[Values], str | None]:
    """Return what was found out, as a text to offer."""
    return lambda values: ", ".join(values.get("seen", {}).get(key) or ()) or None


def _only(*keys: str) -> Callable[[Values], bool]:
    """Return whether the answers so far include every ``key=value``."""
    return lambda values: all(values.get(one.partition("=")[0]) == one.partition("=")[2] for one in keys)


QUESTIONS: tuple[Question, ...] = (
    Question(key="domains", flag="domain", text="Domains mail is sent from, the main one first", many=True,
             kind=DomainName),
    Question(key="environment", flag="environment", text="How strict the rules are",
             choices=lambda _values: ENVIRONMENTS, default=_environment),
    Question(key="placement", flag="placement", choices=lambda _values: PLACEMENTS, default=lambda _values: "vm",
             text="What runs the relay: a host, Docker, a Kubernetes cluster; none: Postal sends by itself"),
    Question(key="upstream", flag="upstream", text="Service that takes the mail", choices=upstream_choices,
             hint=lambda values: values.get("seen", {}).get("upstream") or "google-workspace"),
    Question(key="region", flag="upstream-region", when=lambda values: values.get("upstream") in {"ses", "mailgun"},
             rules=_region_rules,
             text="Region of the account there, such as eu-west-1 (SES), or us or eu (Mailgun)"),
    Question(key="upstream_host", flag="upstream-host", text="Its host name", when=_only("upstream=custom"),
             kind=HostName),
    Question(key="username", flag="upstream-user", text="Login name there", default=_login, when=_needs_login,
             rules=_login_rules),
    Question(key="engine", flag="docker-engine", text="Whose Docker: that of a host, over SSH, or this machine's",
             choices=lambda _values: ("host", "local"), default=lambda _values: "host", when=_only("placement=docker")),
    Question(key="dns", flag="dns", choices=lambda _values: DNS, hint=_seen("dns"),
             text="Who publishes the records: Cloudflare, a server on the host, or nobody (they are printed)"),
    Question(key="postal", flag="postal", choices=postal_choices, default=_postal,
             text="Where Postal runs, with keys and a web UI; none: applications talk to the relay"),
    Question(key="tls", flag="tls", text="Certificates of Postal's web UI and SMTP server", choices=tls_choices,
             default=lambda values: "none" if tls_choices(values) == ("none",) else None,
             hint=lambda values: tls_choices(values)[0]),
    Question(key="certificate_file", flag="certificate", text="File with the certificate and its chain (PEM)",
             when=_only("tls=custom")),
    Question(key="host_text", flag="host", text="Host, as user@address", when=needs_host, kind=HostText),
    Question(key="context", flag="context", text="Context of the cluster in your kubeconfig", when=_on_cluster,
             hint=_seen("context")),
    Question(key="image", flag="image", text="Image of the relay, registry/name:tag",
             when=_only("placement=kubernetes"), kind=ImageReference),
    Question(key="egress", flag="egress-address", text="Public addresses that mail leaves from", many=True,
             when=_leaves_elsewhere, hint=_seen("egress"), kind=IpAddress, rules=_egress_rules),
    Question(key="database", flag="database", text="Name or address of Postal's MariaDB", when=_postal_on_cluster,
             hint=_seen("database"), kind=HostAddress),
    Question(key="smtp_addresses", flag="smtp-address", text="Address of the load balancer of Postal's SMTP service",
             many=True, when=_postal_on_cluster, kind=IpAddress),
    Question(key="web_addresses", flag="web-address", text="Address of the ingress controller", many=True,
             when=_postal_on_cluster, hint=_seen("web"), kind=IpAddress),
    Question(key="ingress_namespace", flag="ingress-namespace", text="Namespace of the ingress controller",
             when=_postal_on_cluster, default=lambda values: _seen("ingress")(values) or "ingress-nginx",
             kind=ObjectName),
    Question(key="issuer", flag="issuer", text="cert-manager's ClusterIssuer, one with the DNS challenge",
             when=_only("postal=kubernetes", "tls=cert-manager"), hint=_seen("issuer"), kind=ObjectName),
    Question(key="tls_secret", flag="tls-secret", text="Secret of namespace mail-postal with the certificate",
             when=_only("postal=kubernetes", "tls=secret"), kind=ObjectName),
    Question(key="contact", flag="contact", text="Mailbox for notices, DMARC reports and certificates",
             kind=EmailAddress, rules=_contact_rules, default=_contact),
)  # fmt: skip
