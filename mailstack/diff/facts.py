"""A plan as facts that people compare: section, what it is about, name, value. No value of a secret is among them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mailstack.caddy.definition import Acme, Custom
from mailstack.dns import Record, resource_name
from mailstack.dns.presentation import data_text
from mailstack.dns.records import Text
from mailstack.outputs.further import Flat, plan_outputs, postal_outputs
from mailstack.plan import CaddyPlan, Plan, Secret
from mailstack.plan.shown import Shown, flat

__all__ = ["SECTIONS", "Fact", "Key", "facts"]

# Sections in the order they are told in, with their titles.
SECTIONS: Mapping[str, str] = {
    "stack": "Stack",
    "records": "DNS records",
    "main.cf": "main.cf",
    "master.cf": "master.cf",
    "maps": "Postfix look-up tables",
    "relay": "Relay",
    "container": "Docker container of the relay",
    "kubernetes": "Kubernetes objects",
    "postal": "Postal objects",
    "postal.yml": "Postal's configuration",
    "database": "Postal's database",
    "certificates": "Certificates",
    "web": "Web server",
    "firewall": "Firewall rules",
    "hosts": "Hosts",
    "workspace": "Relay rule of Google Workspace",
    "cluster": "Kubernetes cluster",
    "dns": "DNS server and zones",
    "outputs": "Outputs, for applications and other stacks",
}
# Section, what it is about (zone, host, component), and what tells the fact apart there.
Key = tuple[str, str, str]
SectionOf = Callable[[str], str | None]
OBJECT = re.compile(r"[A-Z][A-Za-z]+ [a-z0-9.…-]+(/|\Z)")
CODE = "code of "
CONTAINER = ("container", "engine", "network of ", "image")
MAIN_CF, MASTER_CF, OF_EVERY = "main.cf/", "master.cf", "main.cf of every relay"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """``label`` is what people read; ``value`` None for a secret, of which ``digest`` tells two values apart."""

    label: str
    value: str | None
    digest: str = ""

    @property
    def secret(self) -> bool:
        """Tell whether the value is not to be shown."""
        return self.value is None


def facts(plan: Plan) -> dict[Key, Fact]:
    """Return every fact of a plan; an absent part has none."""
    # Rules and policies hold by it, so one word more or less strict is a change though no resource is touched.
    found = {("stack", "stack", "environment"): Fact(label="environment", value=plan.settings.environment)}
    found |= {("stack", "stack", name): Fact(label=name, value=text) for name, text in _around(plan)}
    found |= dict(_outputs(plan))
    for zone, records in plan.dns.zones.items():
        for record in records:
            found["records", zone, resource_name(record)] = _record(record)
    found |= dict(_sorted("dns", plan.dns.shown, _dns_section))
    found |= {
        ("dns", "dns", f"existing/{one.name} {one.type} {one.content or ''}"): Fact(
            label=f"existing {one.type} {one.name}{f' {one.content}' if one.content else ''}", value=one.action
        )
        for one in plan.settings.dns.existing
    }
    if (server := plan.settings.dns.server) is not None:
        # NS and SOA of every zone, which are none of its records.
        for label, text in {"nameservers": ", ".join(server.nameservers), "hostmaster": server.hostmaster}.items():
            found["dns", "dns", label] = Fact(label=label, value=text)
    hosts = plan.settings.relay.hosts
    # One host alone is not named in what is shown (``shown_for_all``).
    for subject, shown in _by_host(plan.relay.shown, hosts if len(hosts) > 1 else ()):
        found |= dict(_sorted(subject, shown, _relay_section))
    if plan.caddy is not None:
        found |= dict(_certificates(plan.caddy))
        found |= dict(_sorted("caddy", plan.caddy.shown, lambda _name: "web"))
    if plan.postal is not None:
        found |= dict(_sorted("postal", plan.postal.shown, _postal_section))
    for name, host in plan.hosts.items():
        found |= dict(_sorted(name, host.shown, _host_section))
    if plan.relay_rule is not None:
        found |= dict(_sorted("relay rule", plan.relay_rule.shown, lambda _name: "workspace"))
    if plan.cluster is not None:
        found |= dict(_sorted("cluster", plan.cluster.shown, lambda _name: "cluster"))
    return found


def _around(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what makes an update go otherwise and stands in nothing that is applied: what it looks at, how long."""
    dns, cloudflare = plan.settings.dns, plan.settings.dns.cloudflare
    told = {"look_seconds": dns.look_seconds, "signed_zones": list(dns.signed_zones)}
    limits = None if cloudflare is None else cloudflare.rate_limit.model_dump()
    looks = plan.settings.verify.model_dump(mode="json", exclude={"message": {"imap": {"password"}}})
    yield from flat({"dns": {**told, "rate_limit": limits}, "verify": looks})


def _outputs(plan: Plan) -> Iterator[tuple[Key, Fact]]:
    """Yield what applications read, as far as the plan knows it. Passwords and keys are told where they are set."""
    told = {**plan_outputs(plan), **({} if plan.postal is None else postal_outputs(plan.postal.mail_servers))}
    if plan.relay.placed:
        told |= {
            "smtp_host": plan.relay.smtp_host,
            "smtp_hosts": list(plan.relay.smtp_hosts),
            "smtp_port": plan.relay.definition.listen_port,
            "sender_domains": list(plan.relay.definition.sender_domains),
            "relay_hostname": plan.relay.definition.hostname,
        }
    for name, text in flat({name: value for name, value in told.items() if not _is_secret(value)}):
        yield ("outputs", "stack", name), Fact(label=name, value=text)


def _is_secret(value: Flat) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Secret) for one in value.values())


def _record(record: Record) -> Fact:
    # A text in one piece: where it is cut into strings means nothing, and a key in it must be found whole.
    text = f'"{record.data.value}"' if isinstance(record.data, Text) else data_text(record.data)
    return Fact(label=f"{record.type} {record.name}", value=f"{record.ttl} {text}")


def _by_host(shown: Shown, hosts: tuple[str, ...]) -> Iterator[tuple[str, Shown]]:
    """Yield what is said once for a relay on several hosts, then what is said of one host alone."""
    yield "relay", {name: text for name, text in shown.items() if name.partition("/")[0] not in hosts}
    for host in hosts:
        yield host, {name.partition("/")[2]: text for name, text in shown.items() if name.startswith(f"{host}/")}


def _sorted(subject: str, shown: Shown, section_of: SectionOf) -> Iterator[tuple[Key, Fact]]:
    for name, text in shown.items():
        section = None if name.startswith(CODE) else section_of(name)
        if section is None:
            continue
        if isinstance(text, Secret):
            yield (section, subject, name), Fact(label=_label(section, name), value=None, digest=text.digest)
            continue
        for part, value in _lines(name, text):
            yield (section, subject, part), Fact(label=_label(section, part), value=value)


def _lines(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters, or services, that stand in one text; any other is one fact."""
    if name == OF_EVERY:
        for line in text.splitlines():
            parameter, _, value = line.partition(" = ")
            yield f"{MAIN_CF}{parameter}", value
    elif name == MASTER_CF:
        for line in text.splitlines():
            service, kind, rest = line.split(" ", 2)
            yield f"{service} {kind}", rest
    else:
        yield name, text


def _label(section: str, name: str) -> str:
    prefixes = {"main.cf": MAIN_CF, "maps": "maps/", "firewall": "firewall/", "workspace": "rule/"}
    label = name.removeprefix(prefixes.get(section, ""))
    return label.removeprefix("provision/") if section == "postal" else label


def _dns_section(name: str) -> str | None:
    # Each is told as a record already, whoever serves it.
    return None if name.startswith("record/") else "dns"


def _relay_section(name: str) -> str:
    if name.startswith(MAIN_CF) or name == OF_EVERY:
        return "main.cf"
    if name == MASTER_CF:
        return "master.cf"
    if name.startswith("maps/"):
        return "maps"
    if OBJECT.match(name) or name.startswith("labels/"):
        return "kubernetes"
    return "container" if name.startswith(CONTAINER) else "relay"


def _postal_section(name: str) -> str:
    if name.startswith(("provision/", "credentials/", "user_passwords/", "dkim/")):
        return "postal"
    if name.startswith(("mariadb/", "database/")):
        return "database"
    if OBJECT.match(name) or name.startswith("labels/"):
        return "kubernetes"
    return "postal.yml"


def _host_section(name: str) -> str:
    return "firewall" if name.startswith("firewall/") else "hosts"


def _certificates(caddy: CaddyPlan) -> Iterator[tuple[Key, Fact]]:
    definition = caddy.definition
    issuer = "Caddy's own authority"
    if isinstance(definition.certificates, Acme):
        issuer = f"ACME, {definition.certificates.directory}"
    elif isinstance(definition.certificates, Custom):
        issuer = "your own certificate"
    for name in definition.names:
        yield ("certificates", "caddy", name), Fact(label=name, value=issuer)
