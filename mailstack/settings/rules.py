"""Rules that need more than one field of the settings."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from mailstack.caddy.definition import CaddyDefinitionError
from mailstack.dns_declaration import dns_problems
from mailstack.postal.definition import PostalDefinitionError
from mailstack.postal_names import bounce_domains
from mailstack.postfix.relay import PROTECTED_PARAMETERS, RelayDefinitionError
from mailstack.relay_rule import rule_problems
from mailstack.settings.caddy_rules import CADDY_RULES
from mailstack.settings.model import Domain, Host, Jump, Settings
from mailstack.settings.postal_rules import POSTAL_RULES
from mailstack.settings.problems import Problem, not_a_host, one_of
from mailstack.stack import relay_definition, relay_rule, under_any
from mailstack.stack_caddy import caddy_definition
from mailstack.stack_postal import postal_definition

__all__ = ["find_problems"]

# 10.0.0.0/8 is the widest network one organisation can own; a public client network wider than these is a
# whole provider, not a company.
WIDEST_PRIVATE = {4: 8, 6: 7}
WIDEST_PUBLIC = {4: 24, 6: 48}
HOST_KEY_FIX = (
    "run `ssh-keyscan -t ed25519 ADDRESS` from a network you trust, compare the fingerprint with the provider's "
    "console, and set algorithm and base64; better, create the host with a key of your own by cloud-init ssh_keys"
)


def find_problems(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong between fields. The fields themselves have the right shape."""
    found = [problem for rule in RULES for problem in rule(settings)]
    yield from found
    if not found:  # otherwise the definitions would only repeat, in other words, what is wrong already
        yield from _relay_definition(settings)
        yield from _postal_definition(settings)
        yield from _caddy_definition(settings)


def _duplicates(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _hosts(settings: Settings) -> Iterator[Problem]:
    places = Counter((host.address, host.port) for host in settings.hosts.values())
    for name, host in settings.hosts.items():
        field = f"hosts.{name}"
        if settings.environment == "prod":
            reached: list[tuple[str, Host | Jump]] = [(field, host)]
            if host.jump:
                reached.append((f"{field}.jump", host.jump))
            for where, target in reached:
                if target.host_key is None:
                    yield Problem(
                        field=f"{where}.host_key",
                        value="",
                        rule="is required in prod: without it anyone in between can read what is sent",
                        fix=HOST_KEY_FIX.replace("ADDRESS", target.address),
                    )
            for key, address in (("public_ipv4", host.public_ipv4), ("public_ipv6", host.public_ipv6)):
                if address is not None and not ipaddress.ip_address(address).is_global:
                    yield Problem(
                        field=f"{field}.{key}",
                        value=address,
                        rule="must be a public address in prod; others cannot reach a private or reserved one",
                        fix="write the address mail leaves from, as `curl ifconfig.me` on the host shows it",
                    )
        if places[host.address, host.port] > 1:
            yield Problem(
                field=f"{field}.address",
                value=f"{host.address} port {host.port}",
                rule="two hosts have the same address and port",
                fix="keep one of them and let everything name it",
            )


def _domains(settings: Settings) -> Iterator[Problem]:
    names = [domain.name for domain in settings.domains]
    for index, domain in enumerate(settings.domains):
        if domain.name in names[:index]:
            yield Problem(
                field=f"domains[{index}].name",
                value=domain.name,
                rule="the domain is listed twice",
                fix="merge the two entries: a domain has one SPF and one DMARC record",
            )
        for name in domain.spf.lookups:
            if name not in domain.spf.include:
                yield Problem(
                    field=f"domains[{index}].spf.lookups.{name}",
                    value=str(domain.spf.lookups[name]),
                    rule="counts an include that is not there",
                    fix=one_of(domain.spf.include, name) if domain.spf.include else "remove it",
                )
        yield from _dkim(f"domains[{index}]", domain)


def _dkim(field: str, domain: Domain) -> Iterator[Problem]:
    for index, key in enumerate(domain.dkim):
        where = f"{field}.dkim[{index}]"
        if (key.private_key is None) == (key.public_key is None):
            yield Problem(
                field=where,
                value=f"selector {key.selector}",
                rule="needs either private_key or public_key, not both",
                fix="private_key for a key of ours (`mailstack init` makes it), public_key for another signer's",
            )
        if key.private_key is not None and key.key_type == "ed25519":
            yield Problem(
                field=f"{where}.key_type",
                value="ed25519",
                rule="a key of ours must be RSA: too few receivers check Ed25519 (RFC 8463)",
                fix="leave key_type out, or give the public_key of a signer that has both kinds",
            )
        if key.selector in [other.selector for other in domain.dkim[:index]]:
            yield Problem(
                field=f"{where}.selector",
                value=key.selector,
                rule="the selector is used twice in this domain; a name holds one key (RFC 6376 §3.6.2.2)",
                fix="give the second key a selector of its own, such as the month it was made in",
            )


def _relay_host(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    if relay.host not in settings.hosts:
        yield not_a_host("relay.host", relay.host, settings.hosts)
        return
    host = settings.relay_host
    for protocol, address in (("ipv4", host.public_ipv4), ("ipv6", host.public_ipv6)):
        if relay.ip_protocol in {protocol, "all"} and address is None:
            yield Problem(
                field="relay.ip_protocol",
                value=relay.ip_protocol,
                rule=f"needs hosts.{relay.host}.public_{protocol}: the upstream must know every address we use",
                fix="set that address, or use auto",
            )
    if host.public_ipv4 is None and host.public_ipv6 is None:
        yield Problem(
            field=f"hosts.{relay.host}.public_ipv4",
            value="",
            rule="is required, or public_ipv6: relay.hostname points to it, and with auth none the upstream knows it",
            fix="write the address mail leaves from, as `curl -4 ifconfig.me` on the host shows it",
        )


def _relay_names(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    names = [domain.name for domain in settings.domains]
    if relay.hostname in names or not under_any(relay.hostname, names):
        yield Problem(
            field="relay.hostname",
            value=relay.hostname,
            rule="must be a host name below one of domains: the upstream tells customers apart by it (EHLO)",
            fix=f"use relay.{names[0]}, and let it resolve to the host",
        )
    for key, listed in (
        ("sender_domains", relay.sender_domains),
        ("masquerade_domains", relay.masquerade_domains),
    ):
        for index, name in enumerate(listed or ()):
            if name not in names:
                yield Problem(
                    field=f"relay.{key}[{index}]",
                    value=name,
                    rule="must be one of domains: only those have SPF, DKIM and DMARC records",
                    fix=one_of(names, name),
                )
        for name in _duplicates(listed or ()):
            yield Problem(field=f"relay.{key}", value=name, rule="the domain is listed twice", fix="remove one")
    if relay.sender_domains == ():
        yield Problem(
            field="relay.sender_domains",
            value="an empty list",
            rule="must not be empty: nobody could send",
            fix="list the domains, or leave the key out for all of domains",
        )


def _relay_reach(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    addresses = [ipaddress.ip_address(address) for address in settings.relay_listen_addresses]
    container_side = None if settings.postal is None else ipaddress.ip_address(settings.postal.gateway)
    outside = [address for address in addresses if not address.is_loopback and address != container_side]
    for name in _duplicates(relay.listen_addresses or ()):
        yield Problem(field="relay.listen_addresses", value=name, rule="is listed twice", fix="remove one")
    if len(addresses) > 1 and any(address.is_unspecified for address in addresses):
        yield Problem(
            field="relay.listen_addresses",
            value=", ".join(relay.listen_addresses or ()),
            rule="0.0.0.0 and :: stand for all addresses and cannot be combined",
            fix="list either all or the single addresses",
        )
    if outside and not relay.client_networks:
        yield Problem(
            field="relay.client_networks",
            value="",
            rule=f"is required when the relay listens on {outside[0]}: otherwise nobody could use it",
            fix="list the networks of the applications, or listen on 127.0.0.1 only",
        )
    if not outside and relay.client_networks:
        yield Problem(
            field="relay.client_networks",
            value=", ".join(relay.client_networks),
            rule="has no effect: the relay listens on loopback only",
            fix="add the address applications connect to, to relay.listen_addresses",
        )
    for index, text in enumerate(relay.client_networks):
        network = ipaddress.ip_network(text)
        widest = (WIDEST_PUBLIC if network.is_global else WIDEST_PRIVATE)[network.version]
        if network.prefixlen < widest or network.network_address.is_unspecified:
            yield Problem(
                field=f"relay.client_networks[{index}]",
                value=text,
                rule=f"is too wide, the relay would serve strangers; /{widest} is the widest for this kind",
                fix="list the networks of the applications only",
            )


def _upstream_place(settings: Settings) -> Iterator[Problem]:
    upstream, provider = settings.relay.upstream, settings.relay.upstream.provider
    field = "relay.upstream"
    if upstream.preset == "custom":
        if upstream.host is None:
            yield Problem(
                field=f"{field}.host",
                value="",
                rule="is required with preset custom",
                fix="write its host name",
            )
    else:
        for key, value in (("host", upstream.host), ("spf_include", upstream.spf_include)):
            if value is not None:
                yield Problem(
                    field=f"{field}.{key}",
                    value=value,
                    rule=f"belongs to preset {upstream.preset} and cannot be changed",
                    fix="remove it, or use preset custom",
                )
        if upstream.port not in provider.ports:
            ports = ", ".join(str(port) for port in sorted(provider.ports))
            yield Problem(
                field=f"{field}.port",
                value=str(upstream.port),
                rule=f"{provider.title} does not listen there",
                fix=f"use 587 (STARTTLS) or 465 (TLS from the start); it has {ports}",
            )
    yield from _upstream_region(settings)


def _upstream_region(settings: Settings) -> Iterator[Problem]:
    upstream, provider = settings.relay.upstream, settings.relay.upstream.provider
    regions = [name for name in provider.hosts if name]
    needs_region = bool(regions or provider.region_pattern)
    if needs_region and upstream.region is None:
        example = ", ".join(regions) or "eu-west-1"
        yield Problem(
            field="relay.upstream.region",
            value="",
            rule=f"is required with preset {upstream.preset}",
            fix=f"write the region the account is in: {example}",
        )
    elif not needs_region and upstream.region is not None:
        yield Problem(
            field="relay.upstream.region",
            value=upstream.region,
            rule=f"preset {upstream.preset} has no regions",
            fix="remove it",
        )
    elif upstream.region is not None and (
        upstream.region not in regions if regions else not re.fullmatch(provider.region_pattern, upstream.region)
    ):
        yield Problem(
            field="relay.upstream.region",
            value=upstream.region,
            rule=f"is not a region of {provider.title}",
            fix=f"use one of {', '.join(regions)}" if regions else "write it as eu-west-1",
        )


def _upstream_login(settings: Settings) -> Iterator[Problem]:
    upstream, provider = settings.relay.upstream, settings.relay.upstream.provider
    field = "relay.upstream"
    password = upstream.password.get_secret_value() if upstream.password else None
    if upstream.auth == "none":
        for key, value in (("username", upstream.username), ("password", password)):
            if value is not None:
                yield Problem(
                    field=f"{field}.{key}",
                    value="[secret]" if key == "password" else value,
                    rule="has no use with auth none; a dummy would make Postfix try to log in and fail",
                    fix="remove it, or set auth to sasl",
                )
        if not provider.authorises_by_ip:
            yield Problem(
                field=f"{field}.auth",
                value="none",
                rule=f"{provider.title} knows customers by user name and password only",
                fix="set auth to sasl, with username and password",
            )
        return
    for key, value, pattern, rule in (
        ("username", upstream.username, provider.username_pattern, provider.username_rule),
        ("password", password, provider.password_pattern, provider.password_rule),
    ):
        if not value:
            yield Problem(
                field=f"{field}.{key}",
                value="",
                rule="is required with auth sasl",
                fix=f"set it: {rule}" if rule else "set it, the password as a secret",
            )
        elif not re.fullmatch(pattern, value) or re.search(r"[\x00-\x1f\x7f]", value):
            yield Problem(
                field=f"{field}.{key}",
                value="[secret]" if key == "password" else value,
                rule=f"must be {rule or 'one line'}",
                fix=f"copy it from {provider.title} again",
            )
    if upstream.tls == "may":
        yield Problem(
            field=f"{field}.tls",
            value="may",
            rule="a password is never sent over a connection that may be unencrypted",
            fix="use secure",
        )


def _relay_limits(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    provider = relay.upstream.provider
    limit = provider.message_size_bytes // 1_000_000
    if relay.upstream.preset != "custom" and relay.message_size_mb is not None and relay.message_size_mb > limit:
        yield Problem(
            field="relay.message_size_mb",
            value=str(relay.message_size_mb),
            rule=f"{provider.title} takes {limit} MB at most; larger mail would be queued and then bounce",
            fix=f"use {limit} or less, or leave it out",
        )
    for name, value in relay.extra_parameters.items():
        field = f"relay.extra_parameters.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            yield Problem(field=field, value="", rule="is not the form of a main.cf parameter", fix="see postconf(5)")
        elif name in PROTECTED_PARAMETERS:
            yield Problem(
                field=field,
                value=str(value),
                rule="is set by this project and cannot be overridden here",
                fix=PROTECTED_PARAMETERS[name],
            )
        if isinstance(value, str) and re.search(r"[\x00-\x1f\x7f]", value):
            yield Problem(
                field=field,
                value="",
                rule="must be one line: a second line would be a parameter of its own",
                fix="separate values by commas",
            )


def _relay_rule(settings: Settings) -> Iterator[Problem]:
    declared, relay = settings.relay_rule, settings.relay
    if declared is None or relay.host not in settings.hosts:
        return
    if relay.upstream.preset != "google-workspace":
        yield Problem(
            field="relay_rule",
            value="a mapping",
            rule=f"is a setting of Google Workspace; the upstream is {relay.upstream.preset}",
            fix="remove it, or use preset google-workspace",
        )
        return
    names = [domain.name for domain in settings.domains]
    if settings.postal is not None:
        names += bounce_domains(settings, settings.postal)
    for index, name in enumerate(declared.domains or ()):
        if name not in names:
            yield Problem(
                field=f"relay_rule.domains[{index}]",
                value=name,
                rule="must be one of domains",
                fix=one_of(names, name),
            )
    sender = declared.probe.sender
    if sender is not None and sender.rpartition("@")[2] not in names:
        yield Problem(
            field="relay_rule.probe.sender",
            value=sender,
            rule="must be an address in one of domains: the upstream refuses others, so the probe would fail",
            fix=f"use postmaster@{names[0]}",
        )
    for problem in rule_problems(
        relay_rule(settings),
        egress_addresses=tuple(settings.egress_addresses),
        relay_has_credentials=relay.upstream.auth == "sasl",
        accepts_any_address=declared.accept_any_address,
        rehearsal=settings.environment == "local",
    ):
        yield Problem(field=f"relay_rule.{problem.field}", value=problem.value, rule=problem.rule, fix=problem.fix)


def _dns_provider(settings: Settings) -> Iterator[Problem]:
    dns = settings.dns
    for kind, section in (("cloudflare", dns.cloudflare), ("server", dns.server)):
        if dns.provider == kind and section is None:
            yield Problem(
                field=f"dns.{kind}", value="", rule=f"is required with provider {kind}", fix="add the section"
            )
        if dns.provider != kind and section is not None:
            yield Problem(
                field=f"dns.{kind}",
                value="a mapping",
                rule=f"has no effect with provider {dns.provider}",
                fix=f"remove it, or set provider to {kind}",
            )
    if dns.provider == "cloudflare" and dns.cloudflare is not None:
        token = dns.cloudflare.api_token.get_secret_value()
        if re.fullmatch(r"[0-9a-f]{37}", token):
            yield Problem(
                field="dns.cloudflare.api_token",
                value="[secret]",
                rule="looks like the account's global API key, which may do anything",
                fix="create an API token with DNS Read and DNS Write for these zones only",
            )
        for name in [*(domain.name for domain in settings.domains), settings.relay.hostname]:
            if not under_any(name, dns.cloudflare.zones):
                yield Problem(
                    field="dns.cloudflare.zones",
                    value=", ".join(dns.cloudflare.zones),
                    rule=f"no zone holds {name}",
                    fix="add the zone with its ID, as the zone's overview page shows it",
                )
    if dns.provider == "server" and dns.server is not None:
        yield from _dns_server(settings)


def _dns_server(settings: Settings) -> Iterator[Problem]:
    server = settings.dns.server
    if server is None:
        return
    if server.host not in settings.hosts:
        yield not_a_host("dns.server.host", server.host, settings.hosts)
        return
    host = settings.hosts[server.host]
    names = [domain.name for domain in settings.domains]
    for index, name in enumerate(server.nameservers):
        if name in server.nameservers[:index]:
            yield Problem(
                field=f"dns.server.nameservers[{index}]", value=name, rule="is listed twice", fix="remove one"
            )
        if index > 0 and under_any(name, names):
            yield Problem(
                field=f"dns.server.nameservers[{index}]",
                value=name,
                rule="is inside a zone served here, but only the first name server is this host",
                fix="leave it out, or name a secondary whose own zone is elsewhere",
            )
    if server.nameservers[0] == settings.relay.hostname and server.host != settings.relay.host:
        yield Problem(
            field="dns.server.nameservers[0]",
            value=server.nameservers[0],
            rule=f"is the relay's name, but the server runs on {server.host}",
            fix=f"give the name server a name of its own, such as ns1.{names[0]}",
        )
    if under_any(server.nameservers[0], names) and not (host.public_ipv4 or host.public_ipv6):
        yield Problem(
            field=f"hosts.{server.host}.public_ipv4",
            value="",
            rule=f"is required, or public_ipv6: {server.nameservers[0]} is inside a zone that this host serves",
            fix="write the address the server is reached at",
        )


def _dns_records(settings: Settings) -> Iterator[Problem]:
    if settings.relay.host in settings.hosts:
        yield from dns_problems(settings)


def _relay_definition(settings: Settings) -> Iterator[Problem]:
    """Let the definition that main.cf is rendered from check itself, so that it cannot fail later."""
    try:
        relay_definition(settings)
    except RelayDefinitionError as error:
        yield Problem(field="relay", value="", rule=str(error), fix="correct the setting it names")


def _postal_definition(settings: Settings) -> Iterator[Problem]:
    """Let the definition that Postal's files are rendered from check itself, so that it cannot fail later."""
    if settings.postal is None:
        return
    try:
        postal_definition(settings)
    except PostalDefinitionError as error:
        for sentence in str(error).splitlines():
            yield Problem(field="postal", value="", rule=sentence, fix="correct the setting it names")


def _caddy_definition(settings: Settings) -> Iterator[Problem]:
    if settings.caddy is None:
        return
    try:
        caddy_definition(settings)
    except CaddyDefinitionError as error:
        for sentence in str(error).splitlines():
            yield Problem(field="caddy", value="", rule=sentence, fix="correct the setting it names")


def _postal(settings: Settings) -> Iterator[Problem]:
    if settings.postal is not None:
        for rule in POSTAL_RULES:
            yield from rule(settings, settings.postal)
    elif settings.relay.placement == "none":
        yield Problem(
            field="relay.placement",
            value="none",
            rule="needs postal with sending.path direct: otherwise nothing would send",
            fix="remove it, or add the section postal",
        )


def _caddy(settings: Settings) -> Iterator[Problem]:
    if settings.caddy is not None:
        for rule in CADDY_RULES:
            yield from rule(settings, settings.caddy)


RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _hosts,
    _domains,
    _relay_host,
    _relay_names,
    _relay_reach,
    _upstream_place,
    _upstream_login,
    _relay_limits,
    _relay_rule,
    _dns_provider,
    _postal,
    _caddy,
    _dns_records,
)
