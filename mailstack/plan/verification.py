"""From the plan to what the world is to see of it: the target of `mailstack verify`. No secret is in it."""

import ipaddress
from collections.abc import Iterable, Iterator

from mailstack.caddy.definition import MtaStsPolicy
from mailstack.dns import NULL_MX, Address, Alias, MailExchanger, Record, Text, rdata_text, zone_of
from mailstack.dns.tags import tags_of
from mailstack.plan.dns_extras import certificates
from mailstack.plan.model import Plan
from mailstack.settings.model import Settings
from mailstack.settings.names import custom_return_path, return_path_domain, route_domain
from mailstack.verify.target import DkimTarget, DomainTarget, HostTarget, Listener, MtaStsTarget, Target

__all__ = ["target_text", "verify_target", "without_made_up_keys"]

# RFC 1918, 6598, 4193 and loopback: addresses the world never sees.
INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128")
)
WEB = (
    Listener(port=80, protocol="https", tls="none", role="web"),
    Listener(port=443, protocol="https", tls="implicit", role="web"),
)


def target_text(plan: Plan) -> str:
    """Return the target as one line of JSON, as output ``verify`` has it; what is as usual is left out."""
    return verify_target(plan).model_dump_json(exclude_defaults=True)


def verify_target(plan: Plan) -> Target:
    """Return what of a stack the world is to see."""
    settings = plan.settings
    names = dict.fromkeys((*(domain.name for domain in settings.domains), *_own_domains(plan)))
    held: dict[str, list[Record]] = {name: [] for name in names}
    for record in plan.dns.records:
        owner = zone_of(record.name, names)
        if owner is not None:
            held[owner].append(record)
    server, mail = settings.dns.server, _Mail(plan)
    return Target(
        domains=tuple(_domain(mail, name, records) for name, records in held.items()),
        hosts=tuple(_hosts(plan)),
        zones=dict.fromkeys(plan.dns.zones, () if server is None else tuple(server.nameservers)),
        issuers=tuple(_issuers(plan)),
        web=tuple(_web(plan)),
        complete=True,
    )


def without_made_up_keys(settings: Settings, target: Target) -> Target:
    """Return the target without the DKIM records that follow from private keys: where those are encrypted and not
    opened, what stands in for them belongs to nobody. Of these selectors only the name is known then.
    """
    public = {(domain.name, key.selector) for domain in settings.domains for key in domain.dkim if not key.ours}

    def known(domain: str, key: DkimTarget) -> DkimTarget:
        return key if (domain, key.selector) in public else key.model_copy(update={"text": None})

    domains = tuple(
        domain.model_copy(update={"dkim": tuple(known(domain.name, key) for key in domain.dkim)})
        for domain in target.domains
    )
    return target.model_copy(update={"domains": domains})


def _own_domains(plan: Plan) -> Iterator[str]:
    """Yield the domains of Postal's own that have records: the return path, and route addresses."""
    settings, postal = plan.settings, plan.settings.postal
    if postal is not None:
        with_mx = {record.name for record in plan.dns.records if isinstance(record.data, MailExchanger)}
        yield from (
            name for name in (return_path_domain(settings, postal), route_domain(settings, postal)) if name in with_mx
        )


# --- domains --------------------------------------------------------------------------------------------------------


def _domain(mail: "_Mail", name: str, records: Iterable[Record]) -> DomainTarget:
    mx: list[tuple[int, str]] = []
    dkim: list[DkimTarget] = []
    texts: dict[str, str] = {}
    others: list[tuple[str, str, str]] = []
    for record in records:
        below, data = record.name.removesuffix(name).rstrip("."), record.data
        kind = _kind(below, data)
        if kind == "mx" and isinstance(data, MailExchanger):
            mx.append((data.preference, data.exchange))
        elif kind == "dkim":
            dkim.append(_selector(below.removesuffix("._domainkey"), record))
        elif kind and isinstance(data, Text):
            texts[kind] = data.value
        elif not isinstance(data, Address):  # those are hosts
            others.append((record.name, record.type, rdata_text(record)))
    refused = (NULL_MX.preference, NULL_MX.exchange)
    spf = texts.get("spf")
    return DomainTarget(
        name=name,
        receives=None if not mx else refused not in mx,
        parked=refused in mx and spf == "v=spf1 -all",
        mx=tuple(sorted(mx)) if mx else None,
        spf=spf,
        senders=mail.senders(name),
        return_paths=mail.return_paths(name),
        dkim=tuple(dkim),
        dmarc=texts.get("dmarc"),
        mta_sts=_mta_sts(mail.policy(name), texts.get("mta-sts")),
        tls_rpt=texts.get("tls-rpt"),
        bimi=texts.get("bimi"),
        tracking=mail.tracking(name),
        records=tuple(others),
    )


def _kind(below: str, data: object) -> str | None:
    """Return what a record is to a domain, by its name below it; None for any other record."""
    if isinstance(data, MailExchanger):
        return None if below else "mx"
    if below.endswith("._domainkey") and isinstance(data, Text | Alias):
        return "dkim"
    if not isinstance(data, Text):
        return None
    if not below:
        return "spf" if data.value.lower().startswith("v=spf1") else None
    return {"_dmarc": "dmarc", "_mta-sts": "mta-sts", "_smtp._tls": "tls-rpt", "default._bimi": "bimi"}.get(below)


def _selector(selector: str, record: Record) -> DkimTarget:
    if isinstance(record.data, Alias):
        return DkimTarget(selector=selector, alias=record.data.target)
    text = record.data.value if isinstance(record.data, Text) else ""
    return DkimTarget(selector=selector, text=text, revoked=(tags_of(text) or {}).get("p") == "")


class _Mail:
    """How the mail of each domain goes, looked up once: there may be a thousand of them."""

    def __init__(self, plan: Plan) -> None:
        settings = plan.settings
        self._settings, self._postal = settings, settings.postal
        served = () if plan.caddy is None else plan.caddy.definition.mta_sts
        self._policies = {policy.domain: policy for policy in served}
        self._bounces = "" if self._postal is None else return_path_domain(settings, self._postal)
        self._declared = {domain.name: domain for domain in settings.domains}
        self._addresses = settings.egress_addresses
        self._by_postal = frozenset(() if self._postal is None else self._postal.sending_domains)
        self._tracking: dict[str, list[str]] = {}
        for _, server in () if self._postal is None else self._postal.mail_servers:
            for one in server.track_domains:
                self._tracking.setdefault(one.domain, []).append(f"{one.name}.{one.domain}")

    def senders(self, name: str) -> tuple[str, ...]:
        """Return the addresses of ours that hand a domain's mail to receivers: none where an upstream does that."""
        settings, declared = self._settings, self._declared.get(name)
        upstream = settings.relay.upstream if declared is None else settings.upstream_of(declared)
        chosen = (upstream, settings.fallback)
        return self._addresses if any(one is not None and one.spf_source is None for one in chosen) else ()

    def return_paths(self, name: str) -> tuple[str, ...]:
        """Return the domains in MAIL FROM: its own where applications send, Postal's where that does."""
        if self._postal is not None and name in self._by_postal:
            return (custom_return_path(name) if self._postal.custom_return_paths else self._bounces,)
        return (name,) if name in self._declared else ()

    def policy(self, name: str) -> MtaStsPolicy | None:
        """Return the MTA-STS policy that is served for it."""
        return self._policies.get(name)

    def tracking(self, name: str) -> tuple[str, ...]:
        """Return the names that links in its mail lead to."""
        return tuple(self._tracking.get(name, ()))


def _mta_sts(policy: MtaStsPolicy | None, text: str | None) -> MtaStsTarget | None:
    if policy is None:
        return None
    return MtaStsTarget(mode=policy.mode, mx=policy.mx, policy_id=(tags_of(text or "") or {}).get("id"))


# --- hosts ----------------------------------------------------------------------------------------------------------


def _hosts(plan: Plan) -> Iterator[HostTarget]:
    """Yield every declared name with an address that the world sees."""
    settings = plan.settings
    found: dict[str, list[str]] = {}
    for record in plan.dns.records:
        if isinstance(record.data, Address) and not _inside(record.data.ip):
            found.setdefault(record.name, []).append(record.data.ip)
    pools = () if settings.postal is None else settings.postal.ip_pools
    speaking = {settings.relay.hostname}
    for one in (address for pool in pools for address in pool.addresses):
        # One behind NAT is sent from by another, which nobody sees here.
        seen = [ip for ip in (one.ipv4, one.ipv6) if ip is not None and not _inside(ip)]
        if seen:
            found.setdefault(one.hostname, []).extend(seen)
        speaking.add(one.hostname)
    listeners = dict(_listeners(plan))
    served = frozenset(() if plan.caddy is None else plan.caddy.definition.names)
    for name, addresses in found.items():
        own = tuple(dict.fromkeys(addresses))
        opened = dict.fromkeys(listener for address in own for listener in listeners.get(address, ()))
        # One web server answers for many names, each with a certificate of its own.
        ports = tuple(_named(one, name) if one.role == "web" and name in served else one for one in opened)
        yield HostTarget(
            name=name, addresses=own, helo=name in speaking, ports=ports or (() if _closed(settings, own) else None)
        )


def _inside(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return any(address in network for network in INSIDE if network.version == address.version)


def _closed(settings: Settings, addresses: Iterable[str]) -> bool:
    """Tell whether machines with a firewall of ours have all of ``addresses``: else more may be open there."""
    guarded = [host for host in settings.hosts.values() if host.firewall != "none"]
    return {address for host in guarded for address in (host.public_ipv4, host.public_ipv6)}.issuperset(addresses)


def _named(listener: Listener, name: str) -> Listener:
    return listener.model_copy(update={"name": name})


def _listeners(plan: Plan) -> Iterator[tuple[str, tuple[Listener, ...]]]:
    """Yield each public address of the stack with what listens there for everybody."""
    settings, postal = plan.settings, plan.settings.postal
    opened: dict[str, list[Listener]] = {}

    def at(addresses: Iterable[str | None], listeners: Iterable[Listener]) -> None:
        for address in filter(None, addresses):
            opened.setdefault(address, []).extend(listeners)

    def of(host: str | None) -> tuple[str | None, ...]:
        machine = settings.hosts.get(host or "")
        return () if machine is None else (machine.public_ipv4, machine.public_ipv6)

    if settings.relay.submission is not None:
        for name in settings.relay.host_names:
            at(of(name), _submission(settings))
    if postal is not None:
        smtp = Listener(port=25, tls="starttls" if postal.smtp_tls else "none", role="mx", name=postal.smtp_hostname)
        at(of(postal.host) if postal.cluster is None else postal.cluster.smtp_addresses, [smtp])
        if postal.cluster is not None:
            at(postal.cluster.web_addresses, [WEB[1].model_copy(update={"name": postal.web_hostname})])
    if settings.caddy is not None and plan.caddy is not None:
        first = next(iter(plan.caddy.definition.names), None)
        at(of(settings.caddy.host), [_named(one, first) if first else one for one in WEB])
    server = settings.dns.server
    if server is not None:
        listens = [address for address in server.listen_addresses if not _inside(address)]
        at(listens or of(server.host), [Listener(port=server.port, protocol="dns", tls="none", role="dns")])
    yield from ((address, tuple(found)) for address, found in opened.items())


def _submission(settings: Settings) -> Iterator[Listener]:
    submission = settings.relay.submission
    if submission is not None:
        name = settings.relay.hostname
        if submission.starttls_port is not None:
            yield Listener(port=submission.starttls_port, tls="starttls", role="submission", name=name)
        if submission.tls_port is not None:
            yield Listener(port=submission.tls_port, tls="implicit", role="submission", name=name)


# --- web ------------------------------------------------------------------------------------------------------------


def _web(plan: Plan) -> Iterator[str]:
    if plan.settings.postal_on_cluster and plan.settings.postal is not None:
        yield plan.settings.postal.web_hostname
    if plan.caddy is not None:
        yield from plan.caddy.definition.web_names


def _issuers(plan: Plan) -> Iterator[str]:
    yield from dict.fromkeys(use.authority for use in certificates(plan.settings) if use.authority is not None)
