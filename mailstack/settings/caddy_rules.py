"""Rules of ``caddy`` that need more than one field."""

from collections.abc import Callable, Iterator

from mailstack.caddy.certificate_names import covers, names_in
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, not_a_host, one_of

__all__ = ["CADDY_RULES"]


def _machine(settings: Settings, caddy: Caddy) -> Iterator[Problem]:
    if caddy.host not in settings.hosts:
        yield not_a_host("caddy.host", caddy.host, settings.hosts)
        return
    host = settings.hosts[caddy.host]
    if host.public_ipv4 is None and host.public_ipv6 is None:
        yield Problem(
            field=f"hosts.{caddy.host}.public_ipv4",
            value="",
            rule="is required, or public_ipv6: the web names point to it",
            fix="write the address the host is reached at",
        )
    postal = settings.postal
    if postal is not None and postal.host is not None and postal.host != caddy.host and postal.host in settings.hosts:
        if settings.hosts[postal.host].private_address is None:
            yield Problem(
                field=f"hosts.{postal.host}.private_address",
                value="",
                rule=f"is required: Caddy on {caddy.host} reaches Postal's web server there, and nobody else does",
                fix="write the address of that host in the network both hosts share",
            )
        if host.private_address is None:
            yield Problem(
                field=f"hosts.{caddy.host}.private_address",
                value="",
                rule="is required: Postal's host lets only this address reach its web server",
                fix="write the address of that host in the network both hosts share",
            )


def _certificates(settings: Settings, caddy: Caddy) -> Iterator[Problem]:
    for kind, section in (("acme", caddy.acme), ("custom", caddy.custom)):
        if (caddy.certificates == kind) != (section is not None):
            needed = caddy.certificates == kind
            yield Problem(
                field=f"caddy.{kind}",
                value="" if needed else "a mapping",
                rule=f"is required with certificates {kind}"
                if needed
                else f"has no use with certificates {caddy.certificates}",
                fix="add the section" if needed else "remove it",
            )
    if caddy.certificates == "internal" and settings.environment == "prod":
        yield Problem(
            field="caddy.certificates",
            value="internal",
            rule="is not for prod: nobody else trusts Caddy's own CA, mail servers included",
            fix="use acme, or custom with a certificate of your company",
        )
    acme = caddy.acme
    if acme is not None and (acme.challenge == "dns") != (acme.dns_token is not None):
        yield Problem(
            field="caddy.acme.dns_token",
            value="" if acme.dns_token is None else "[secret]",
            rule="goes with challenge dns: it writes the challenge record at Cloudflare",
            fix="set a token with Zone Read and DNS Write for the zone" if acme.dns_token is None else "remove it",
        )


def _policies(settings: Settings, caddy: Caddy) -> Iterator[Problem]:
    declared = [domain.name for domain in settings.domains]
    for index, policy in enumerate(caddy.mta_sts):
        if policy.domain not in declared:
            yield Problem(
                field=f"caddy.mta_sts[{index}].domain",
                value=policy.domain,
                rule="must be one of domains",
                fix=one_of(declared, policy.domain),
            )
        if policy.domain in [other.domain for other in caddy.mta_sts[:index]]:
            yield Problem(
                field=f"caddy.mta_sts[{index}].domain", value=policy.domain, rule="is listed twice", fix="remove one"
            )
        if policy.mode == "removed" and policy.none_since is None:
            yield Problem(
                field=f"caddy.mta_sts[{index}].none_since",
                value="",
                rule="is required with mode removed: senders keep a policy for max_age, record or not",
                fix="write the day on which mode none was published; where it was not, set mode none first",
            )
        if policy.none_since is not None and policy.mode in {"testing", "enforce"}:
            yield Problem(
                field=f"caddy.mta_sts[{index}].none_since",
                value=str(policy.none_since),
                rule=f"goes with mode none, and the mode is {policy.mode}",
                fix="remove it, or set mode none",
            )
    if caddy.extra_names and settings.postal is None:
        yield Problem(
            field="caddy.extra_names",
            value=", ".join(caddy.extra_names),
            rule="are names of Postal's web UI, and there is no postal",
            fix="remove them, or add the section postal",
        )


def _policy_names(_settings: Settings, caddy: Caddy) -> Iterator[Problem]:
    """Refuse a policy that nobody could fetch: senders demand a certificate for that very name (RFC 8461 §3.3)."""
    if caddy.certificates != "custom" or caddy.custom is None or not caddy.mta_sts:
        return
    names = names_in(caddy.custom.certificate)
    for index, policy in enumerate(caddy.mta_sts):
        if names is not None and not covers(names, f"mta-sts.{policy.domain}"):
            yield Problem(
                field=f"caddy.mta_sts[{index}].domain",
                value=policy.domain,
                rule=f"needs a certificate for mta-sts.{policy.domain}, and caddy.custom.certificate is for "
                f"{', '.join(sorted(names)) or 'no name'}",
                fix=f"add mta-sts.{policy.domain} to the certificate, use certificates acme, or remove the policy",
            )


CADDY_RULES: tuple[Callable[[Settings, Caddy], Iterator[Problem]], ...] = (
    _machine,
    _certificates,
    _policies,
    _policy_names,
)
