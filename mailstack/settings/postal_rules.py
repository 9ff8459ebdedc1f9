"""Rules of ``postal`` that need more than one field."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from mailstack.dns import public_key_of, rsa_bits
from mailstack.postal.config import config_problems
from mailstack.settings.model import Settings
from mailstack.settings.names import (
    bounce_domains,
    google_senders,
    postal_dkim,
    return_path_domain,
    route_domain,
    track_domain,
)
from mailstack.settings.postal_model import MailServer, Postal
from mailstack.settings.postal_pools_rules import pools
from mailstack.settings.problems import Problem, not_a_host, one_of

__all__ = ["POSTAL_RULES"]

SMTP_PORT = 25
# Headers Postal adds, and the growth of a message on its way.
SIZE_MARGIN_BYTES = 500_000
MEBIBYTE = 1024 * 1024
SMALLEST_NETWORK, WIDEST_NETWORK = 28, 16
GOOD_RSA_BITS = 2048


def _below(name: str, parents: Iterable[str]) -> bool:
    return any(name.endswith(f".{parent}") for parent in parents)


def _twice(field: str, what: str, values: Iterable[str]) -> Iterator[Problem]:
    for value, count in Counter(values).items():
        if count > 1:
            yield Problem(field=field, value=value, rule=f"the {what} is used twice", fix="give each its own")


def _machines(settings: Settings, postal: Postal) -> Iterator[Problem]:
    for field, name in (("postal.host", postal.host), ("postal.database.host", postal.database.host)):
        if name is not None and name not in settings.hosts:
            yield not_a_host(field, name, settings.hosts)
    host = settings.hosts.get(postal.host or "")
    if host is not None and host.public_ipv4 is None and host.public_ipv6 is None:
        yield Problem(
            field=f"hosts.{postal.host}.public_ipv4",
            value="",
            rule=f"is required, or public_ipv6: {postal.smtp_hostname} points to it",
            fix="write the address the host is reached at",
        )


def _names(settings: Settings, postal: Postal) -> Iterator[Problem]:
    domains = [domain.name for domain in settings.domains]
    for field, name in (
        ("web_hostname", postal.web_hostname),
        ("smtp_hostname", postal.smtp_hostname),
        ("return_path_domain", return_path_domain(settings, postal)),
        ("route_domain", route_domain(settings, postal)),
        ("track_domain", track_domain(settings, postal)),
    ):
        if not _below(name, domains):
            yield Problem(
                field=f"postal.{field}",
                value=name,
                rule="must be a name below one of domains: its records are declared there",
                fix=f"use a name below {domains[0]}",
            )
    if postal.smtp_hostname == settings.relay.hostname and not settings.postal_shares_relay_host:
        yield Problem(
            field="postal.smtp_hostname",
            value=postal.smtp_hostname,
            rule=f"is the relay's name, but Postal runs on {postal.host or 'a cluster'}",
            fix="give Postal a name of its own",
        )
    if postal.app_mail is not None and postal.app_mail.from_address.rpartition("@")[2] not in domains:
        yield Problem(
            field="postal.app_mail.from_address",
            value=postal.app_mail.from_address,
            rule="must be in one of domains: the upstream refuses others",
            fix=f"use postal@{domains[0]}",
        )


def _signing(settings: Settings, postal: Postal) -> Iterator[Problem]:
    try:
        bits = rsa_bits(public_key_of(postal.signing_key.get_secret_value()))
    except ValueError as error:
        yield Problem(
            field="postal.signing_key",
            value="[secret]",
            rule=str(error),
            fix="remove it and run `mailstack init`, which makes a 2048-bit RSA key",
        )
    else:
        if bits < GOOD_RSA_BITS:
            yield Problem(
                field="postal.signing_key",
                value="[secret]",
                rule=f"has {bits} bits; signers should use 2048 (RFC 8301 §3.2)",
                fix="remove it and run `mailstack init`, which makes a 2048-bit RSA key",
            )
    by_name = {domain.name: (number, domain) for number, domain in enumerate(settings.domains)}
    for name in postal.sending_domains:
        if name in by_name and postal_dkim(postal, by_name[name][1]) is None:
            yield Problem(
                field=f"domains[{by_name[name][0]}].dkim",
                value=", ".join(key.selector for key in by_name[name][1].dkim),
                rule=f"needs a key of ours whose selector begins with {postal.dkim_identifier}-: Postal signs with it",
                fix=f"add `- selector: {postal.dkim_identifier}-202611` and run `mailstack init`, which makes the key",
            )
        for index, key in enumerate(by_name[name][1].dkim if name in by_name else ()):
            if key.key_type == "ed25519" and key.ours and key.selector.startswith(f"{postal.dkim_identifier}-"):
                yield Problem(
                    field=f"domains[{by_name[name][0]}].dkim[{index}].key_type",
                    value="ed25519",
                    rule="is the selector of a key that Postal would sign with, and Postal signs with RSA alone",
                    fix="give it another selector: it is for a signer beside Postal; or leave key_type out",
                )


def _organizations(settings: Settings, postal: Postal) -> Iterator[Problem]:
    declared = [domain.name for domain in settings.domains]
    yield from _twice("postal.organizations", "permalink", (entry.permalink for entry in postal.organizations))
    for number, organization in enumerate(postal.organizations):
        where = f"postal.organizations[{number}].mail_servers"
        yield from _twice(where, "permalink", (server.permalink for server in organization.mail_servers))
        for index, server in enumerate(organization.mail_servers):
            field = f"{where}[{index}]"
            for place, name in enumerate(server.domains):
                if name not in declared:
                    yield Problem(
                        field=f"{field}.domains[{place}]",
                        value=name,
                        rule="must be one of domains: only those have SPF, DKIM and DMARC records",
                        fix=one_of(declared, name),
                    )
            yield from _twice(f"{field}.domains", "domain", server.domains)
            yield from _twice(f"{field}.credentials", "identity", (key.identity for key in server.credentials))
            yield from _twice(f"{field}.webhooks", "identity", (webhook.identity for webhook in server.webhooks))
            yield from _routes(settings, postal, field, server)
            yield from _tracking(settings, postal, field, server)
    keys = [
        (key.key.get_secret_value(), f"{name} {key.name}")
        for name, server in postal.mail_servers
        for key in server.credentials
    ]
    for value, count in Counter(value for value, _ in keys).items():
        if count > 1:
            yield Problem(
                field="postal.organizations",
                value=", ".join(label for key, label in keys if key == value),
                rule="share one key: Postal could not tell them apart",
                fix="remove all but one and run `mailstack init`",
            )
    tracked = [f"{entry.name}.{entry.domain}" for _, server in postal.mail_servers for entry in server.track_domains]
    yield from _twice("postal.organizations", "tracking name", tracked)


def _routes(settings: Settings, postal: Postal, field: str, server: MailServer) -> Iterator[Problem]:
    exchangers = {domain.name: [mx.exchange for mx in domain.mx or ()] for domain in settings.domains}
    yield from _twice(f"{field}.routes", "address", (f"{route.name}@{route.domain}" for route in server.routes))
    for index, route in enumerate(server.routes):
        where = f"{field}.routes[{index}]"
        targets = [value for value in (route.http_url, route.smtp_host, route.address) if value is not None]
        if len(targets) != (1 if route.mode == "Endpoint" else 0):
            yield Problem(
                field=where,
                value=f"{route.name}@{route.domain}, mode {route.mode}",
                rule="mode Endpoint needs exactly one of http_url, smtp_host and address; other modes none",
                fix="give one of them, or change the mode",
            )
        if route.domain not in server.domains:
            yield Problem(
                field=f"{where}.domain",
                value=route.domain,
                rule="must be one of the mail server's domains",
                fix=one_of(server.domains, route.domain),
            )
        elif postal.smtp_hostname not in exchangers.get(route.domain, []):
            yield Problem(
                field=f"{where}.domain",
                value=route.domain,
                rule=f"gets no mail: the domain's MX records do not name {postal.smtp_hostname}",
                fix="give the domain an mx entry with that exchange, or route another domain",
            )


def _tracking(settings: Settings, postal: Postal, field: str, server: MailServer) -> Iterator[Problem]:
    for index, tracked in enumerate(server.track_domains):
        if tracked.domain not in server.domains:
            yield Problem(
                field=f"{field}.track_domains[{index}].domain",
                value=tracked.domain,
                rule="must be one of the mail server's domains",
                fix=one_of(server.domains, tracked.domain),
            )
        if settings.caddy is None and postal.placement == "vm":
            yield Problem(
                field=f"{field}.track_domains[{index}]",
                value=f"{tracked.name}.{tracked.domain}",
                rule="needs caddy: links in mail lead to https",
                fix="add the section caddy",
            )


def _path_to_upstream(settings: Settings, postal: Postal) -> Iterator[Problem]:
    relay, sending = settings.relay, postal.sending
    if sending.path == "direct":
        if relay.upstream.auth != "none":
            yield Problem(
                field="postal.sending.path",
                value="direct",
                rule="Postal cannot log in to an upstream, in no release; every message would be refused",
                fix="use path postfix, or set relay.upstream.auth to none if the upstream knows the address",
            )
        if postal.host is not None and relay.host_names != (postal.host,):
            yield Problem(
                field="relay.host",
                value=", ".join(relay.host_names),
                rule="must be Postal's host with path direct: mail leaves from there, by an address the upstream knows",
                fix=f"write {postal.host}",
            )
        for key, value in (("relay_name", sending.relay_name), ("tls", sending.tls)):
            if value is not None:
                yield Problem(
                    field=f"postal.sending.{key}", value=value, rule="has no use with path direct", fix="remove it"
                )
        return
    if relay.placement == "none":
        yield Problem(
            field="relay.placement",
            value="none",
            rule="needs postal.sending.path direct: with path postfix Postal would have nowhere to send",
            fix="remove placement, or use path direct",
        )
    if postal.ip_pools:
        yield Problem(
            field="postal.ip_pools",
            value=", ".join(pool.name for pool in postal.ip_pools),
            rule="needs path direct: through a relay all mail leaves from the relay's address",
            fix="remove the pools, or use path direct",
        )
    if postal.placement == "vm":
        yield from _relay_reach(settings, postal)


def _relay_reach(settings: Settings, postal: Postal) -> Iterator[Problem]:
    """Refuse a relay that Postal cannot use: its 5xx would put real recipients on Postal's suppression list."""
    addresses = [ipaddress.ip_address(address) for address in settings.relay_listen_addresses]
    if settings.postal_shares_relay_host:
        if settings.relay_listen_port == SMTP_PORT:
            yield Problem(
                field="relay.listen_port",
                value=str(SMTP_PORT),
                rule="belongs to Postal on this host, on every address",
                fix="remove it: 2525 is used where both share a host",
            )
        if postal.gateway not in settings.relay_listen_addresses:
            yield Problem(
                field="relay.listen_addresses",
                value=", ".join(settings.relay_listen_addresses),
                rule=f"Postal's containers cannot reach it: they see the host as {postal.gateway}",
                fix=f"add {postal.gateway}, or leave the key out",
            )
        return
    if all(address.is_loopback for address in addresses):
        yield Problem(
            field="relay.listen_addresses",
            value=", ".join(settings.relay_listen_addresses),
            rule=f"is loopback only, but Postal on {postal.host} has to reach the relay",
            fix="add the address of the relay's host that Postal's host reaches",
        )
    host = settings.hosts.get(postal.host or "")
    source = None if host is None else host.inner_address
    networks = [ipaddress.ip_network(text) for text in settings.relay.client_networks]
    if source is not None and not any(ipaddress.ip_address(source) in network for network in networks):
        yield Problem(
            field="relay.client_networks",
            value=", ".join(settings.relay.client_networks),
            rule=f"does not hold {source}, Postal's host: refused mail puts its recipients on the suppression list",
            fix=f"add {source}/{ipaddress.ip_address(source).max_prefixlen}",
        )


def _upstreams(settings: Settings, postal: Postal) -> Iterator[Problem]:
    """Refuse a choice of upstream that Postal's mail would not follow: the relay chooses by MAIL FROM."""
    for index, domain in enumerate(settings.domains):
        if domain.upstream is not None and domain.name in postal.sending_domains and not postal.custom_return_paths:
            yield Problem(
                field=f"domains[{index}].upstream",
                value=domain.upstream,
                rule=f"is not followed: Postal's mail has {return_path_domain(settings, postal)} in MAIL FROM, and the "
                "relay chooses by that",
                fix="set postal.custom_return_paths to true, or leave the domain to relay.upstream",
            )


def _acceptance(settings: Settings, postal: Postal) -> Iterator[Problem]:
    """Refuse what the upstream or the relay would answer with a permanent error."""
    rule = settings.relay_rule
    if rule is not None and rule.allowed_senders != "any-address" and rule.domains is not None:
        for name in google_senders(settings):
            if name in bounce_domains(settings, postal) and name not in rule.domains:
                yield Problem(
                    field="relay_rule.domains",
                    value=", ".join(rule.domains),
                    rule=f"lacks {name}, which stands in MAIL FROM of Postal's mail; Google would refuse all of it",
                    fix=f"add {name} here and as a domain of the Workspace account, or leave the key out",
                )
    limit = settings.message_size_bytes
    if postal.max_message_mb * MEBIBYTE + SIZE_MARGIN_BYTES > limit:
        yield Problem(
            field="postal.max_message_mb",
            value=str(postal.max_message_mb),
            rule=f"is more than the {limit // 1_000_000} MB the relay passes on; such mail would fail after acceptance",
            fix=f"use {(limit - SIZE_MARGIN_BYTES) // MEBIBYTE} or less",
        )


def _database(settings: Settings, postal: Postal) -> Iterator[Problem]:
    database = postal.database
    if database.kind == "external":
        root = None if database.root_password is None else "[secret]"
        wrong = [("host", database.host), ("root_password", root)]
        missing: list[tuple[str, object]] = [("address", database.address)]
    else:
        wrong, missing = [("address", database.address)], [("root_password", database.root_password)]
    for key, value in wrong:
        if value is not None:
            yield Problem(
                field=f"postal.database.{key}",
                value=str(value),
                rule=f"has no use with kind {database.kind}",
                fix="remove it, or change the kind",
            )
    for key, present in missing:
        if present is None:
            yield Problem(
                field=f"postal.database.{key}",
                value="",
                rule=f"is required with kind {database.kind}",
                fix="run `mailstack init`, which makes it" if key == "root_password" else "write where the server is",
            )
    passwords = {"password": database.password, "root_password": database.root_password}
    for key, secret in passwords.items():
        if secret is not None and re.search(r'["\\]', secret.get_secret_value()):
            yield Problem(
                field=f"postal.database.{key}",
                value="[secret]",
                rule='must not hold " or \\: Postal copies it unescaped into a file of its own',
                fix="let `mailstack init` make it",
            )
    own = postal.database_host
    if own is not None and own != postal.host and own in settings.hosts and settings.hosts[own].private_address is None:
        yield Problem(
            field=f"hosts.{own}.private_address",
            value="",
            rule="is required: the database listens there and nowhere else",
            fix="write the address of that host in the network both hosts share",
        )


def _network(settings: Settings, postal: Postal) -> Iterator[Problem]:
    network = ipaddress.ip_network(postal.docker.network)
    if network.version != 4 or not network.is_private or not WIDEST_NETWORK <= network.prefixlen <= SMALLEST_NETWORK:
        yield Problem(
            field="postal.docker.network",
            value=str(network),
            rule=f"must be a private IPv4 network of /{WIDEST_NETWORK} to /{SMALLEST_NETWORK}",
            fix="use 172.29.25.0/24, or another one nothing in your company has",
        )
    for name, host in settings.hosts.items():
        for key, address in (("private_address", host.private_address), ("public_ipv4", host.public_ipv4)):
            if address is not None and ipaddress.ip_address(address) in network:
                yield Problem(
                    field="postal.docker.network",
                    value=str(network),
                    rule=f"holds hosts.{name}.{key} {address}: containers could not reach that host",
                    fix="choose a network nothing else uses",
                )


def _tls(settings: Settings, postal: Postal) -> Iterator[Problem]:
    if postal.placement != "vm":
        return  # certificates are the cluster's: see postal_kubernetes_rules
    caddy = settings.caddy
    if caddy is None and settings.environment == "prod":
        yield Problem(
            field="caddy",
            value="",
            rule="is required in prod: passwords and API keys would travel in clear",
            fix="add the section; certificates acme needs only an email",
        )
    if postal.smtp_tls and (caddy is None or caddy.host != postal.host):
        yield Problem(
            field="postal.smtp_tls",
            value="true",
            rule="needs caddy on Postal's host: the SMTP server's certificate is Caddy's",
            fix=f"put caddy on {postal.host}"
            if caddy is not None
            else "add the section caddy, or set smtp_tls to false",
        )


def _config(_settings: Settings, postal: Postal) -> Iterator[Problem]:
    for sentence in config_problems(postal.config):
        field, _, rule = sentence.partition(": ")
        yield Problem(field=field, value="", rule=rule, fix="correct or remove it; docs/how-to/postal.md has the keys")


POSTAL_RULES: tuple[Callable[[Settings, Postal], Iterator[Problem]], ...] = (
    _machines,
    _names,
    _signing,
    _organizations,
    _path_to_upstream,
    _upstreams,
    _acceptance,
    _database,
    _network,
    pools,
    _tls,
    _config,
)
