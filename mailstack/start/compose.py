"""From answers to settings: what stands in the first stack file, and why, where it is not the usual."""

from typing import Any

from mailstack.dns.names import topmost
from mailstack.start.answers import SSH_PORT, Answers, InDns
from mailstack.start.compose_postal import HOST, Notes, pinned, postal_settings, sends_directly, with_postal
from mailstack.start.found import FOUND, dmarc_settings, exchanger_settings, spf_settings
from mailstack.upstreams import PRESETS

__all__ = ["HOST", "POSTAL_MEMORY_MB", "compose"]

POSTAL_MEMORY_MB, POSTAL_DISK_GB = 2000, 10
IMPLICIT_TLS = 465
LOCAL_ENGINE = "unix:///var/run/docker.sock"
# More keys than that, and the engine could not hand the configuration over (docs/how-to/many-domains.md).
DOMAINS_WITH_OWN_KEYS = 40


def compose(answers: Answers) -> tuple[dict[str, Any], Notes]:
    """Return the settings, and what is to be said about some of them: dotted place to sentence."""
    notes: Notes = {}
    first = answers.domains[0]
    settings: dict[str, Any] = {"environment": answers.environment}
    if answers.host is not None:
        settings["ssh"] = {"connect_attempts": 20}
        settings["hosts"] = {HOST: _host(answers, notes)}
    settings["domains"] = [_domain(answers, place, name, notes) for place, name in enumerate(answers.domains)]
    settings["relay"] = _relay(answers, first, notes)
    if answers.upstream == "google-workspace":
        settings["relay_rule"] = {"name": f"mailstack {answers.stack}"}
        if answers.username is not None:
            settings["relay_rule"]["require_smtp_auth"] = True
    if with_postal(answers):
        settings["postal"] = postal_settings(answers, first, notes)
    if answers.postal == "vm":
        settings["caddy"] = _caddy(answers)
    settings["dns"] = _dns(answers, first, notes)
    return settings, notes


def _host(answers: Answers, notes: Notes) -> dict[str, Any]:
    place = answers.host
    assert place is not None  # noqa: S101 - the caller has looked
    host: dict[str, Any] = {"address": place.address, "user": place.user}
    if place.port != SSH_PORT:
        host["port"] = place.port
    if answers.host_key is not None:
        host["host_key"] = answers.host_key
        notes[f"hosts.{HOST}.host_key"] = "a host that shows another one is refused"
    host |= {
        key: value
        for key, value in (("public_ipv4", answers.public_ipv4), ("public_ipv6", answers.public_ipv6))
        if value is not None
    }
    host["firewall"] = answers.firewall
    if answers.firewall == "none":
        notes[f"hosts.{HOST}.firewall"] = (
            "on Debian and Ubuntu ufw, on Rocky and RHEL firewalld: a change that locks you out is taken back"
        )
    if answers.security_updates:
        host["security_updates"] = True
    if answers.postal == "vm":
        host |= {"minimum_memory_mb": POSTAL_MEMORY_MB, "minimum_disk_gb": POSTAL_DISK_GB}
    return host


def _domain(answers: Answers, place: int, name: str, notes: Notes) -> dict[str, Any]:
    found = answers.in_dns.get(name, InDns())
    domain: dict[str, Any] = {"name": name, **exchanger_settings(answers, place, found, notes)}
    spf = spf_settings(answers, found.spf)
    if spf:
        domain["spf"] = spf
        notes[f"domains.{place}.spf"] = f"{FOUND}, beside what the upstream needs"
    selector = f"{'postal-' if with_postal(answers) else 'mail'}{answers.today:%Y%m}"
    domain["dkim"] = [{"selector": selector}]
    if len(answers.domains) > DOMAINS_WITH_OWN_KEYS:
        domain["dkim"] = [{"selector": selector, "key": f"common-{answers.today:%Y%m}"}]
    notes[f"domains.{place}.dkim.0.selector"] = (
        "Postal signs with it"
        if with_postal(answers)
        else "for applications that sign; a key of the upstream's own goes beside"
    )
    domain["dmarc"] = dmarc_settings(answers, place, name, found, notes)
    return domain


def _relay(answers: Answers, first: str, notes: Notes) -> dict[str, Any]:
    relay: dict[str, Any] = {"placement": answers.placement, "hostname": f"relay.{first}"}
    if answers.placement == "kubernetes" or _local_engine(answers) or _cluster_alone(answers):
        relay["egress_addresses"] = list(answers.egress)
    else:
        relay["host"] = HOST
    if answers.placement == "kubernetes":
        relay["image"] = {"reference": pinned(answers, answers.image or "", "relay.image.reference", notes)}
        relay["kubernetes"] = {"context": answers.context}
    if _local_engine(answers):
        relay["docker"] = {"endpoint": LOCAL_ENGINE}
    elif answers.placement == "docker":
        relay["docker"] = {"ssh_key": "agent"}
        notes["relay.docker.ssh_key"] = "how the key of `ssh` gets there is said in docs/how-to/relay-in-docker.md"
    upstream: dict[str, Any] = {"preset": answers.upstream}
    if answers.region is not None:
        upstream["region"] = answers.region
    if answers.upstream_host is not None:
        upstream["host"] = answers.upstream_host
    # Postal by itself checks for whom a certificate is only where TLS comes first.
    implicit = sends_directly(answers) and IMPLICIT_TLS in PRESETS[answers.upstream].ports
    upstream["port"] = IMPLICIT_TLS if implicit else 587
    upstream["auth"] = "none" if answers.username is None else "sasl"
    if answers.username is not None:
        upstream["username"] = answers.username
    relay["upstream"] = upstream
    if answers.placement != "none":  # both are Postfix's
        relay |= {"queue_lifetime_hours": 48, "postmaster": answers.contact}
    return relay


def _local_engine(answers: Answers) -> bool:
    return answers.placement == "docker" and answers.engine == "local"


def _cluster_alone(answers: Answers) -> bool:
    return answers.placement == "none" and answers.postal == "kubernetes"


def _caddy(answers: Answers) -> dict[str, Any]:
    caddy: dict[str, Any] = {"host": HOST, "certificates": answers.tls}
    if answers.tls == "acme":
        caddy["acme"] = {"email": answers.contact}
    if answers.tls == "custom":
        caddy["custom"] = {"certificate": answers.certificate}
    return caddy


def _dns(answers: Answers, first: str, notes: Notes) -> dict[str, Any]:
    dns: dict[str, Any] = {"provider": answers.dns, "ttl": 3600}
    if answers.dns == "cloudflare":
        zones = list(dict.fromkeys(answers.in_dns.get(one, InDns()).zone or one for one in topmost(answers.domains)))
        dns["cloudflare"] = {"zones": dict.fromkeys(zones)}
        notes |= {f"dns.cloudflare.zones.{zone}": "its ID is looked up" for zone in zones}
    if answers.dns == "server":
        dns["server"] = {"host": HOST, "nameservers": [f"ns1.{first}"], "hostmaster": answers.contact}
    return dns
