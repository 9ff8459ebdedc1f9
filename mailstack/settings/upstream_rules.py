"""Rules of an upstream: its place, and how the relay logs in there."""

import re
from collections.abc import Callable, Iterator

from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["UPSTREAM_RULES"]


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


UPSTREAM_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _upstream_place,
    _upstream_login,
)
