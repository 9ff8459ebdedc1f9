"""Check for what a former provider left in DNS: whoever is still named there may still send, or get mail."""

from collections.abc import Iterable, Iterator

from mailstack.dns.names import is_within
from mailstack.dns.spf_read import SpfError, read_spf, spf_records
from mailstack.verify.context import Context
from mailstack.verify.dkim import key_name
from mailstack.verify.model import Finding, check, not_applicable, ok, unknown, warn
from mailstack.verify.providers import PROVIDERS, Provider
from mailstack.verify.target import DomainTarget

__all__: list[str] = []


@check(
    number=45,
    name="former-provider",
    group="G",
    title="Nothing of a former mail provider is left in SPF, DKIM or MX",
    source="the providers' set-up pages (mailstack/verify/providers.py)",
    uses="dnspython",
)
def former_provider(context: Context) -> Iterator[Finding]:
    """Look for known providers that are not declared."""
    yield from context.domains(lambda domain: _leftovers(context, domain))


def _named(text: str) -> set[str]:
    """Return the names that an SPF record includes, redirects to or takes addresses from."""
    try:
        record = read_spf(text)
    except SpfError:
        return set()
    names = {term.target for term in record.terms if term.kind in {"include", "a"} and term.target}
    return names | ({record.redirect} if record.redirect else set())


def _leftovers(context: Context, domain: DomainTarget) -> Iterable[Finding]:
    spf, exchangers = context.dns.look(domain.name, "TXT"), context.dns.look(domain.name, "MX")
    if not spf.known or not exchangers.known:
        return [unknown(domain.name, spf.why or exchangers.why)]
    included = {name for text in spf_records(spf.values) for name in _named(text)}
    hosts = {value.split()[1] for value in exchangers.values}
    in_spf = {provider: sorted(name for name in included if _sends(provider, name)) for provider in PROVIDERS}
    in_mx = {provider: sorted(host for host in hosts if _takes(provider, host)) for provider in PROVIDERS}
    if domain.spf is None and domain.mx is None and not context.target.complete:
        seen = [provider.name for provider in PROVIDERS if in_spf[provider] or in_mx[provider]]
        what = f"named in SPF or MX: {', '.join(seen) or 'no known provider'}"
        return [not_applicable(domain.name, f"{what}; which of them are former ones is not declared")]
    declared = _named(domain.spf or "")
    kept = {host for _, host in domain.mx or ()}
    found: list[Finding] = []
    for provider in PROVIDERS:
        used = any(_sends(provider, name) for name in declared) or any(_takes(provider, host) for host in kept)
        if domain.spf is not None or context.target.complete:
            found += _spf(domain.name, provider, [name for name in in_spf[provider] if name not in declared])
        if domain.mx is not None or context.target.complete:
            found += _mx(domain.name, provider, [host for host in in_mx[provider] if host not in kept])
        if not used:
            found += _selectors(context, domain, provider)
    return found or [ok(domain.name, "none")]


def _sends(provider: Provider, name: str) -> bool:
    return any(is_within(name, end) for end in provider.spf)


def _takes(provider: Provider, host: str) -> bool:
    return any(is_within(host, end) for end in provider.exchangers)


def _spf(domain: str, provider: Provider, names: list[str]) -> Iterator[Finding]:
    if names:
        yield warn(
            domain,
            f"{provider.name} in SPF ({', '.join(names)}), which is not declared",
            f"see {provider.source}",
            expected="only senders that are declared: all customers of a provider pass",
            fix="remove the term, or name it in `domains[].spf.include` if it is still used",
        )


def _mx(domain: str, provider: Provider, hosts: list[str]) -> Iterator[Finding]:
    if hosts:
        yield warn(
            domain,
            f"{provider.name} in MX ({', '.join(hosts)}), which is not declared",
            f"see {provider.source}",
            expected="only declared exchangers: part of the mail goes there",
            fix="remove the MX, or name it in `domains[].mx` if it is still used",
        )


def _selectors(context: Context, domain: DomainTarget, provider: Provider) -> Iterator[Finding]:
    declared = {key.selector.lower() for key in domain.dkim}
    names = [key_name(selector, domain.name) for selector in provider.selectors if selector not in declared]
    context.dns.every((name, "TXT") for name in names)
    there = [name for name in names if (answer := context.dns.follow(name, "TXT")).values or answer.chain]
    # The same selector may be another signer's: the record is named, and whoever reads decides.
    if there:
        yield warn(
            domain.name,
            f"a key at {', '.join(there)}, as {provider.name} has it, which is not declared",
            f"see {provider.source}",
            expected="only keys that are declared: whoever has the private half signs in your name",
            fix="remove the record, or declare it in `domains[].dkim` if it is still used",
        )
