"""Mail, keys and passwords travel within TLS to the very host that is meant."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mailstack.policy.model import EVERYWHERE, Level, Policy, Resource, Seen, Unclear
from mailstack.policy.wire import UNKNOWN, text_of

__all__ = ["WEAK_TLS"]

# RFC 7817 §3: the name in the certificate is compared. encrypt and may take any certificate.
CHECKED = frozenset({"verify", "secure"})
OPTION = re.compile(r"-o (\w+)=(\S+)")
# Postfix takes spaces around the equals sign and does without.
LINE = re.compile(r"^(\w+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)
# What old and new Postfix call "TLS 1.2 or newer"; in the plan it is a value of the host.
OF_THE_HOST = "(tls_protocols of the host)"
OLD = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")
# Postal checks the certificate with these two only (mailstack/postal/relays.py).
UNCHECKED = re.compile(r"""insecure-skip-tls-verify["']?\s*:\s*["']?true""", re.IGNORECASE)
CLEAR = re.compile(r"""\bserver["']?\s*:\s*["']?http://(?!127\.|localhost\b|\[::1\])""")
# Grades and words of OpenSSL by which a checked connection may still be read by others, or by anybody's key.
CIPHERS = re.compile(r"(smtpd?|lmtp)_tls_(mandatory_)?ciphers")
CIPHER_LIST = re.compile(r"tls_(high|medium|low|export|null)_cipherlist")
STRONG = frozenset({"high", "medium"})
BROKEN = frozenset({
    "3DES", "ADH", "AECDH", "ALL", "COMPLEMENTOFALL", "DES", "EXP", "EXPORT", "LOW", "MD5", "NULL", "RC2", "RC4",
    "aNULL", "eNULL",
})  # fmt: skip
OLD_BROWSERS = "browsers older than TLS 1.2 log in to Postal"
ZONE_SETTINGS: Mapping[tuple[str, str], str] = {
    ("min_tls_version", "1.0"): OLD_BROWSERS,
    ("min_tls_version", "1.1"): OLD_BROWSERS,
    ("ssl", "off"): "the zone's sites are served in clear",
    ("ssl", "flexible"): "Cloudflare asks the zone's sites in clear",
}
POSTAL_CHECKED = frozenset({"TLS", "STARTLS"})


def _weak_tls(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    if resource.is_component("PostfixRelay"):
        yield from _relay(resource)
    if resource.is_component("PostalHost"):
        yield from _postal(resource)
    if resource.is_component("WorkspaceRelayRule"):
        yield from (
            f"{key} is no: Google would take this stack's mail in clear"
            for key, text in resource.shown("rule/require_tls")
            if text == "no"
        )
    yield from _elsewhere(resource)


def _elsewhere(resource: Resource) -> Iterator[str]:
    """Yield what is weak outside of our components."""
    inputs = resource.inputs
    in_clear = resource.type == "pulumi:providers:docker" and str(inputs.get("host", "")).startswith("tcp://")
    if in_clear and not {"keyMaterial", "certPath"} & inputs.keys():
        yield f"the Docker engine at {inputs['host']} is asked without TLS: whoever reaches it is root there"
    if inputs.get("kubeconfig") is UNKNOWN:
        yield Unclear("kubeconfig")
    if resource.type == "pulumi:providers:kubernetes":
        kubeconfig = str(inputs.get("kubeconfig") or "")
        if UNCHECKED.search(kubeconfig):
            yield "kubeconfig has insecure-skip-tls-verify: whoever answers gets the login to the cluster"
        if CLEAR.search(kubeconfig):
            yield "kubeconfig asks the cluster by http: the login to it travels in clear"
    if resource.type == "cloudflare:index/zoneSetting:ZoneSetting":
        name, value = text_of(inputs.get("settingId")), str(inputs.get("value"))
        if (name, value) in ZONE_SETTINGS:
            yield f"zone setting {name} is {value}: {ZONE_SETTINGS[name, value]}"
    if resource.type.removesuffix("Patch") == "kubernetes:core/v1:ConfigMap":
        for key, text in resource.mapping("data").items():
            for name, value in LINE.findall(text if isinstance(text, str) else ""):
                yield from (f"{key}: {sentence}" for sentence in _line(name, value))


def _relay(resource: Resource) -> Iterator[str]:
    for name, value in _parameters(resource):
        yield from _line(name, value)
    homeward = _homeward(resource)
    for _, text in resource.shown("master.cf"):
        for service in text.splitlines():
            name, options = service.split()[0], dict(OPTION.findall(service))
            level = options.get("smtp_tls_security_level", "secure")
            if level not in CHECKED and name not in homeward:
                yield f"service {name} has smtp_tls_security_level {level}: no name is checked"
            within = options.get("smtpd_tls_auth_only") == "yes" or options.get("smtpd_tls_security_level") == "encrypt"
            if options.get("smtpd_sasl_auth_enable") == "yes" and not within:
                yield f"service {name} takes passwords in clear"


def _line(name: str, value: str) -> Iterator[str]:
    """Yield what is weak in a line of main.cf."""
    if name == "smtp_tls_security_level" and value not in CHECKED:
        yield f"smtp_tls_security_level is {value}: the upstream's certificate is not checked for its name"
    if name.endswith(("tls_mandatory_protocols", "smtp_tls_protocols")) and not _new_protocols(value):
        yield f"{name} is {value}: older than TLS 1.2 would do"
    if CIPHERS.fullmatch(name) and value not in STRONG:
        yield f"{name} is {value}: broken ciphers, or none, would do"
    if CIPHER_LIST.fullmatch(name) and (broken := _broken(value)):
        yield f"{name} has {', '.join(broken)}: whoever is in between could read the mail"
    if name == "smtp_tls_per_site":
        yield "smtp_tls_per_site is set: it takes TLS, or the check of the name, away from single destinations"
    if name == "smtpd_sasl_auth_enable" and value == "yes":
        yield "smtpd_sasl_auth_enable is yes for every service: those without TLS take passwords in clear"
    if name == "smtp_sasl_security_options" and "noplaintext" not in value:
        yield f"{name} is {value}: the password could travel in clear"


def _broken(ciphers: str) -> list[str]:
    """Return the words of a list of ciphers that let in what is broken; ``!`` and ``-`` take out, ``+`` only moves."""
    words = [word for word in re.split(r"[:,\s]+", ciphers) if word]
    out = {word[1:] for word in words if word[0] in "!-"}
    if "ALL" in words and "aNULL" in out:
        out.add("ALL")
    let_in = [word for word in dict.fromkeys(words) if word[0] not in "!-+@" and word not in out]
    return [word for word in let_in if set(word.split("+")) & BROKEN]


def _homeward(resource: Resource) -> set[str]:
    """Return the services that carry bounces back to the company's own Postal, and nothing else."""
    found: set[str] = set()
    others: set[str] = set()
    for key, value in resource.inputs.items():
        if isinstance(value, str) and ":[" in value:
            (found if "maps/bounces/entries/" in key else others).add(value.partition(":")[0])
    return found - others


def _parameters(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield what main.cf is to say: that of this relay, and what every relay has."""
    for key, value in resource.inputs.items():
        before, _, name = key.rpartition("/")
        if before.endswith("main.cf") and isinstance(value, str):
            yield name, value
    for _, text in resource.shown("main.cf of every relay"):
        yield from LINE.findall(text)


def _new_protocols(value: str) -> bool:
    if value == OF_THE_HOST or re.fullmatch(r">=\s*TLSv1\.[23]", value):
        return True
    named = [part for part in re.split(r"[,:\s]+", value) if part]
    if any(not part.startswith("!") for part in named):
        return bool(named) and all(part in {"TLSv1.2", "TLSv1.3"} for part in named if not part.startswith("!"))
    return {part.removeprefix("!") for part in named} >= set(OLD)


def _postal(resource: Resource) -> Iterator[str]:
    for key, text in resource.shown("config/smtp_server/tls_enabled"):
        if text == "no":
            yield f"{key} is no: applications log in to Postal in clear"
    ours = {text for _, text in resource.shown("relay/name")}
    for _, text in resource.shown("config/postal/smtp_relays"):
        for url in text.split(", "):
            place = urlsplit(url)
            mode = parse_qs(place.query).get("ssl_mode", [""])[0]
            # Inside a cluster, or of the stack's own host: no network of others is between.
            inside = place.hostname in ours or ".svc" in str(place.hostname)
            if mode not in POSTAL_CHECKED and not inside:
                yield f"Postal sends to {place.hostname} with ssl_mode {mode or 'unset'}: no certificate is checked"


WEAK_TLS = Policy(
    name="tls-is-checked",
    description="Mail leaves by TLS 1.2 or newer to a checked name, and no password travels in clear.",
    level=Level.MANDATORY,
    environments=EVERYWHERE,
    source="RFC 8996, RFC 8314, RFC 7817 §3",
    remedy="set relay.upstream.tls to secure, postal.smtp_tls to true and relay_rule.require_tls to true",
    check=_weak_tls,
)
