"""Whether the IPv6 addresses that mail is about to leave from have a reverse name.

Google refuses mail over IPv6 from an address without one (e-mail sender guidelines, "Set up valid forward and reverse
DNS records"), and so do most others. The name is set at whoever owns the address, which no component can do.
"""

import ipaddress
from collections.abc import Iterator, Mapping

from mailstack.dns import Record
from mailstack.dns.addresses import special_purpose
from mailstack.dns.records import Address
from mailstack.plan.model import Plan
from mailstack.settings.problems import Problem

__all__ = ["other_reverse_names", "sending_ipv6", "without_reverse_name"]


def sending_ipv6(plan: Plan, new: Mapping[str, tuple[Record, ...]]) -> dict[str, str]:
    """Return public IPv6 addresses that mail leaves from and that are about to get an AAAA record, and whose."""
    settings, postal = plan.settings, plan.settings.postal
    speaking = {settings.relay.hostname}
    if postal is not None and postal.sending.path == "direct":
        speaking |= {postal.smtp_hostname, *(one.hostname for pool in postal.ip_pools for one in pool.addresses)}
    made = (
        (record.name, record.data.ip)
        for records in new.values()
        for record in records
        if isinstance(record.data, Address)
    )
    return {ip: name for name, ip in made if name in speaking and _is_public_ipv6(ip)}


def _is_public_ipv6(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address.version == 6 and special_purpose(ipaddress.ip_network(address)) is None


def without_reverse_name(
    plan: Plan, sending: Mapping[str, str], found: Mapping[str, frozenset[str]]
) -> Iterator[Problem]:
    """Yield the addresses that have none. ``found``: reverse names by address, without those nobody answered for."""
    for address, name in sending.items():
        if address in found and not found[address]:
            field, fix = _setting(plan, address)
            yield Problem(
                field=field,
                value=address,
                rule=(
                    f"has no reverse name, and {name} is about to get it as AAAA: Google and others refuse mail over "
                    "IPv6 from such an address (Google: e-mail sender guidelines; RFC 1912 §2.1)"
                ),
                fix=f"set its reverse name (PTR) to {name} at whoever owns the address, or {fix}",
            )


def other_reverse_names(sending: Mapping[str, str], found: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Yield a warning for each address whose reverse name is another than the name it gets."""
    for address, name in sending.items():
        names = found.get(address)
        if names and name not in names:
            yield (
                f"the reverse name of {address} is {', '.join(sorted(names))}, not {name}: receivers compare the two; "
                "set it at whoever owns the address"
            )


def _setting(plan: Plan, address: str) -> tuple[str, str]:
    """Return the setting an address stands in, and how mail is kept from leaving by it."""
    for name, host in plan.settings.hosts.items():
        if host.public_ipv6 == address:
            return (
                f"hosts.{name}.public_ipv6",
                "leave the setting out; a relay sends over IPv4 only with relay.ip_protocol: ipv4",
            )
    if address in (plan.settings.relay.egress_addresses or ()):
        return "relay.egress_addresses", "leave it out, with relay.ip_protocol: ipv4"
    return "postal.ip_pools", "leave out its ipv6"
