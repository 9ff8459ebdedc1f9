"""Rules of ``relay`` about its hosts: which ones, what each listens on, the one name for all, and their proof."""

import ipaddress
from collections.abc import Iterator

from mailstack.settings.model import Settings
from mailstack.settings.names import under_any
from mailstack.settings.problems import Problem, duplicates, not_a_host, one_of

__all__ = ["relay_hosts"]


def relay_hosts(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with the hosts."""
    relay = settings.relay
    if relay.host is not None and relay.hosts:
        yield Problem(
            field="relay.hosts",
            value=", ".join(relay.hosts),
            rule="cannot stand beside relay.host",
            fix="keep one of the two keys",
        )
        return
    # Without a relay mail leaves from Postal, which may be on a cluster.
    on_host = relay.placement == "vm" or (relay.placement == "none" and not settings.postal_on_cluster)
    if not settings.hosts and on_host:
        yield Problem(field="hosts", value="", rule="is required: at least one entry", fix="add it: add an entry")
    elif not relay.host_names and on_host:
        yield Problem(
            field="relay.host",
            value="",
            rule="is required: the host mail leaves from",
            fix=one_of(settings.hosts, ""),
        )
    for name in duplicates(relay.hosts):
        yield Problem(field="relay.hosts", value=name, rule="is listed twice", fix="remove one")
    for index, name in enumerate(relay.host_names):
        if name not in settings.hosts:
            field = f"relay.hosts[{index}]" if relay.hosts else "relay.host"
            yield not_a_host(field, name, settings.hosts)
        elif relay.egress_addresses is None:
            yield from _public_addresses(settings, name)
    if relay.hosts:
        yield from _several(settings)
    yield from _client_name(settings)
    yield from _proof(settings)


def _public_addresses(settings: Settings, name: str) -> Iterator[Problem]:
    relay, host = settings.relay, settings.hosts[name]
    for protocol, address in (("ipv4", host.public_ipv4), ("ipv6", host.public_ipv6)):
        if relay.ip_protocol in {protocol, "all"} and address is None:
            yield Problem(
                field="relay.ip_protocol",
                value=relay.ip_protocol,
                rule=f"needs hosts.{name}.public_{protocol}: the upstream must know every address we use",
                fix="set that address, or use auto",
            )
    if host.public_ipv4 is None and host.public_ipv6 is None:
        yield Problem(
            field=f"hosts.{name}.public_ipv4",
            value="",
            rule="is required, or public_ipv6: relay.hostname points to it, and with auth none the upstream knows it",
            fix="write the address mail leaves from, as `curl -4 ifconfig.me` on the host shows it",
        )


def _several(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    if relay.placement != "vm":
        yield Problem(
            field="relay.hosts",
            value=", ".join(relay.hosts),
            rule=f"is for placement vm; this one is {relay.placement}",
            fix="use relay.host for one host, or placement vm",
        )
    listening = [("relay.listen_addresses", relay.listen_addresses or ())]
    if relay.submission is not None:
        listening.append(("relay.submission.listen_addresses", relay.submission.listen_addresses))
    for field, addresses in listening:
        for text in addresses:
            address = ipaddress.ip_address(text)
            if not address.is_loopback and not address.is_unspecified:
                unspecified = "0.0.0.0" if address.version == 4 else "::"  # noqa: S104 - advice, not bound
                instead = f"use {unspecified}, every address of the host"
                yield Problem(
                    field=field,
                    value=text,
                    rule="is the address of one host, and all of relay.hosts have the same definition",
                    fix=instead
                    if relay.submission is not None and field.startswith("relay.submission")
                    else "remove the key: each host listens on 127.0.0.1 and its own private_address, "
                    f"else its public one; or {instead}",
                )
    if relay.listen_addresses is None:
        for name in relay.hosts:
            if name in settings.hosts and settings.hosts[name].inner_address is None:
                yield Problem(
                    field=f"hosts.{name}.private_address",
                    value="",
                    rule="is required: with several hosts the relay listens on each one's own address",
                    fix="write the address applications reach the host at, or set relay.listen_addresses",
                )
    postal = settings.postal
    if (
        postal is not None
        and postal.sending.path == "postfix"
        and relay.placement == "vm"
        and not settings.postal_shares_relay_host
        and postal.sending.relay_name is None
        and relay.client_name is None
    ):
        yield Problem(
            field="relay.client_name",
            value="",
            rule=f"is required: Postal on {postal.host or 'a cluster'} finds the relay by a name, and that of "
            "relay.hostname leads to the addresses mail leaves from",
            fix=f"use smtp.{settings.domains[0].name}",
        )
    by_address: dict[str, str] = {}
    for name in dict.fromkeys(relay.hosts):
        address_of = settings.hosts[name].inner_address if name in settings.hosts else None
        if address_of is not None and by_address.setdefault(address_of, name) != name:
            yield Problem(
                field=f"hosts.{name}.private_address",
                value=address_of,
                rule=f"is the address of {by_address[address_of]} too",
                fix="give each host of relay.hosts its own private_address",
            )


def _client_name(settings: Settings) -> Iterator[Problem]:
    relay, field = settings.relay, "relay.client_name"
    name = relay.client_name
    if name is None:
        return
    domains = [domain.name for domain in settings.domains]
    if name in domains or not under_any(name, domains):
        yield Problem(
            field=field,
            value=name,
            rule="must be a host name below one of domains, where its addresses can be published",
            fix=f"use smtp.{domains[0]}",
        )
    if relay.placement != "vm":
        yield Problem(field=field, value=name, rule="is for placement vm", fix="remove it")
    elif relay.host_names and not settings.client_addresses and all(h in settings.hosts for h in relay.host_names):
        yield Problem(
            field=field,
            value=name,
            rule="has no address to stand for: the relay listens on loopback only",
            fix="remove it, or let the relay listen on an address that applications reach",
        )
    holder = _taken_by(settings, name)
    if holder is not None:
        yield Problem(
            field=field,
            value=name,
            rule=f"is {holder} already: applications would get addresses that are not the relay's",
            fix=f"use a name of its own, smtp.{domains[0]} for one",
        )


def _taken_by(settings: Settings, name: str) -> str | None:
    """Return the setting that publishes other addresses at ``name``, None where none does."""
    held = {"relay.hostname": settings.relay.hostname}
    if settings.postal is not None:
        held |= {
            "postal.smtp_hostname": settings.postal.smtp_hostname,
            "postal.web_hostname": settings.postal.web_hostname,
        }
    if settings.caddy is not None:
        held |= {f"caddy.extra_names {extra}": extra for extra in settings.caddy.extra_names}
    if settings.dns.server is not None:
        held |= {f"dns.server.nameservers {server}": server for server in settings.dns.server.nameservers}
    return next((field for field, taken in held.items() if taken == name), None)


def _proof(settings: Settings) -> Iterator[Problem]:
    relay, proof = settings.relay, settings.relay.proof
    if proof is None:
        return
    if relay.placement != "vm":
        yield Problem(field="relay.proof", value="a mapping", rule="is for placement vm", fix="remove it")
    if proof.recipient is not None and proof.recipient == proof.sender:
        yield Problem(
            field="relay.proof.recipient",
            value=proof.recipient,
            rule="must be another address than the sender: Postfix asks nobody about the one it asks as",
            fix="leave it out for abuse@ the sender's domain, or name another mailbox",
        )
    listed = relay.sender_domains or tuple(domain.name for domain in settings.mail_domains)
    if listed and proof.sender is not None and proof.sender.rpartition("@")[2] not in listed:
        yield Problem(
            field="relay.proof.sender",
            value=proof.sender,
            rule="must be an address in one of the sender domains: the relay refuses others",
            fix=f"use postmaster@{listed[0]}",
        )
