"""Do mail exchangers that publish an IPv6 address take connections there? Many senders try it first."""

from collections.abc import Iterator
from dataclasses import dataclass

from mailstack.verify.context import Context
from mailstack.verify.listeners import addresses, each, exchangers
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.reaching import Unreached, connect

__all__ = ["mx_ipv6"]

SMTP = 25


@dataclass(frozen=True, kw_only=True)
class _Exchanger:
    host: str
    ours: bool
    six: tuple[str, ...]
    four: tuple[str, ...]


@check(
    number=20,
    name="mx-ipv6",
    group="D",
    title="Mail exchangers with an IPv6 address take connections there",
    source="RFC 5321 §5.1, §5.2; RFC 6724 §2.1 (senders prefer IPv6)",
)
def mx_ipv6(context: Context) -> Iterator[Finding]:
    """Connect to port 25 at every IPv6 address of every mail exchanger; say nothing there."""
    ours = {host.name for host in context.target.hosts}
    names = dict.fromkeys(host for domain in context.target.domains for host in exchangers(context, domain.name))
    found: list[_Exchanger] = []
    for name in names:
        # What is declared may lag behind what is published, and senders see the latter.
        has = dict.fromkeys((*addresses(context, name), *context.look(name, "AAAA").values))
        six, four = (tuple(one for one in has if (":" in one) is wanted) for wanted in (True, False))
        found.append(_Exchanger(host=name, ours=name in ours, six=six, four=four))
    places = [(one, address) for one in found for address in one.six]
    if not places:
        yield not_applicable("", "no mail exchanger has an IPv6 address" if names else "no mail exchanger is known")
    yield from each(places, lambda place: _reached(context, *place))


def _reached(context: Context, one: _Exchanger, address: str) -> Finding:
    subject = f"{one.host} [{address}]:{SMTP}"
    why = _connected(context, one.host, address)
    if why is None:
        return ok(subject, "it takes connections over IPv6")
    if not why.refused:
        # A network without a way out over IPv6, or with port 25 closed, looks the same from here.
        return unknown(subject, f"over IPv6: {why}")
    others = [_connected(context, one.host, other) for other in one.four]
    if others and None not in others:
        return unknown(subject, f"over IPv6: {why}; nor is there a connection over IPv4: {others[0]}")
    return (fail if one.ours else warn)(
        subject,
        f"over IPv6: {why}" + (", while IPv4 takes connections" if others else ""),
        expected="what is published takes mail: senders with IPv6 try it first, and some try nothing else",
        fix="let the server listen there (inet_protocols = all in Postfix, smtp_server.default_bind_address '::' in "
        "Postal) and open port 25 in the IPv6 firewall, or remove the AAAA record",
    )


def _connected(context: Context, host: str, address: str) -> Unreached | None:
    def ask() -> Unreached | None:
        try:
            connect(context, host, address, SMTP).close()
        except Unreached as error:
            return error
        return None

    return context.once(("connected", address, SMTP), ask)
