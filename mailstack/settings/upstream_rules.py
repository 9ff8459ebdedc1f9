"""Rules of an upstream: its place, and how the relay logs in there."""

import re
from collections.abc import Callable, Iterable, Iterator

from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, one_of
from mailstack.settings.upstream_model import UpstreamSettings
from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = ["UPSTREAM_RULES", "login_problems", "region_problems"]


def _upstream_place(field: str, upstream: UpstreamSettings) -> Iterator[Problem]:
    provider = upstream.provider
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
    yield from region_problems(field, upstream)


def region_problems(field: str, upstream: UpstreamSettings) -> Iterator[Problem]:
    """Yield what is wrong with the region."""
    provider = upstream.provider
    regions = [name for name in provider.hosts if name]
    needs_region = bool(regions or provider.region_pattern)
    if needs_region and upstream.region is None:
        example = ", ".join(regions) or "eu-west-1"
        yield Problem(
            field=f"{field}.region",
            value="",
            rule=f"is required with preset {upstream.preset}",
            fix=f"write the region the account is in: {example}",
        )
    elif not needs_region and upstream.region is not None:
        yield Problem(
            field=f"{field}.region",
            value=upstream.region,
            rule=f"preset {upstream.preset} has no regions",
            fix="remove it",
        )
    elif upstream.region is not None and (
        upstream.region not in regions if regions else not re.fullmatch(provider.region_pattern, upstream.region)
    ):
        yield Problem(
            field=f"{field}.region",
            value=upstream.region,
            rule=f"is not a region of {provider.title}",
            fix=f"use one of {', '.join(regions)}" if regions else "write it as eu-west-1",
        )


def login_problems(field: str, upstream: UpstreamSettings) -> Iterator[Problem]:
    """Yield what is wrong with user name, password, and whether there are any."""
    provider = upstream.provider
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


def _every_upstream(settings: Settings) -> Iterator[Problem]:
    for field, upstream in settings.upstreams_by_field.items():
        yield from _upstream_place(field, upstream)
        yield from login_problems(field, upstream)


def _choice(settings: Settings) -> Iterator[Problem]:
    relay, names = settings.relay, settings.relay.upstreams
    used = {relay.fallback_upstream}
    for index, domain in enumerate(settings.domains):
        used.add(domain.upstream)
        if domain.upstream is not None and domain.upstream not in names:
            yield _unknown(f"domains[{index}].upstream", domain.upstream, names)
    if relay.fallback_upstream is not None and relay.fallback_upstream not in names:
        yield _unknown("relay.fallback_upstream", relay.fallback_upstream, names)
    for name in names:
        if name not in used:
            yield Problem(
                field=f"relay.upstreams.{name}",
                value="a mapping",
                rule="takes nobody's mail",
                fix="name it in domains[].upstream or in relay.fallback_upstream, or remove it",
            )
    if names and relay.placement == "none":
        yield Problem(
            field="relay.upstreams",
            value=", ".join(names),
            rule="need Postfix, and relay.placement is none: Postal knows one upstream only",
            fix="remove them, or use placement vm",
        )
    fallback = settings.fallback
    if fallback is not None:
        yield from _fallback(settings, fallback)


def _fallback(settings: Settings, fallback: UpstreamSettings) -> Iterator[Problem]:
    firsts = {"relay.upstream": settings.relay.upstream}
    firsts |= {
        f"relay.upstreams.{domain.upstream}": settings.upstream_of(domain)
        for domain in settings.domains
        if domain.upstream
    }
    for field, first in firsts.items():
        if first is fallback:
            continue
        if field == "relay.upstream" and _same_server(first, fallback) and _login(first) != _login(fallback):
            yield Problem(
                field="relay.fallback_upstream",
                value=str(settings.relay.fallback_upstream),
                rule=f"is the server of {field} with another login; Postfix looks a login up by server, so one is lost",
                fix="name another upstream, or remove the key",
            )
        if (first.port in IMPLICIT_TLS_PORTS) != (fallback.port in IMPLICIT_TLS_PORTS):
            yield Problem(
                field="relay.fallback_upstream",
                value=f"{settings.relay.fallback_upstream}, port {fallback.port}",
                rule=f"starts TLS another way than {field} with port {first.port}; one service of Postfix reaches both",
                fix="use port 587 for both, or 465 for both",
            )
        if (first.tls, first.ca_file) != (fallback.tls, fallback.ca_file):
            yield Problem(
                field="relay.fallback_upstream",
                value=str(settings.relay.fallback_upstream),
                rule=f"must have the tls and ca_file of {field}; one service of Postfix reaches both",
                fix="give both the same",
            )


def _same_server(one: UpstreamSettings, other: UpstreamSettings) -> bool:
    name = one.host_name_or_none
    return name is not None and (name, one.port) == (other.host_name_or_none, other.port)


def _login(upstream: UpstreamSettings) -> tuple[object, ...]:
    return upstream.auth, upstream.username, upstream.password


def _unknown(field: str, name: str, names: Iterable[str]) -> Problem:
    known = list(names)
    fix = one_of(known, name) if known else "add the section relay.upstreams with it, or remove the key"
    return Problem(
        field=field,
        value=name,
        rule="must name one of relay.upstreams",
        fix=fix,
        refers_to=f"relay.upstreams.{name}",
    )


UPSTREAM_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_every_upstream, _choice)
