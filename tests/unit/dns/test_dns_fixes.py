"""Fixes can be followed: a setting they name is one."""

import re
import typing

from pydantic import BaseModel

from mailstack.dns import Problem, declare
from mailstack.settings.domains_model import Domain
from mailstack.settings.hosts_model import Host
from mailstack.settings.model import Settings
from tests.unit.dns import dns_mistakes
from tests.unit.dns.dns_examples import errors_of
from tests.unit.dns.dns_record_mistakes import RECORD_ERRORS, RECORD_WARNINGS
from tests.unit.dns.dns_spf_mistakes import SPF_ERRORS, SPF_WARNINGS

QUOTED = re.compile(r"`([^`]*)`")
COMMANDS = ("openssl ", "mailstack ", "pulumi ")


def sections(annotation: object) -> list[type[BaseModel]]:
    """Return the models inside an annotation such as tuple[Domain, ...] or Spf | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in sections(argument)]


def is_setting(path: str, model: type[BaseModel]) -> bool:
    name, _, rest = path.partition(".")
    field = model.model_fields.get(name)
    if field is None:
        return False
    return not rest or any(is_setting(rest, inner) for inner in sections(field.annotation))


def problems() -> list[Problem]:
    refused = [
        problem for case in (*dns_mistakes.ERRORS, *SPF_ERRORS, *RECORD_ERRORS) for problem in errors_of(case[0])
    ]
    warned = [
        problem
        for case in (*dns_mistakes.WARNINGS, *SPF_WARNINGS, *RECORD_WARNINGS)
        for problem in declare(case[0]).warnings
    ]
    return [*refused, *warned]


def test_every_setting_that_a_fix_names_exists() -> None:
    named = {name for problem in problems() for name in QUOTED.findall(problem.fix) if not name.startswith(COMMANDS)}
    assert {"spf.lookups", "dmarc.policy", "mx", "dns.ttl", "caddy.mta_sts"} <= named
    unknown = {name for name in named if not any(is_setting(name, model) for model in (Settings, Domain, Host))}
    assert unknown == set()


def test_fix_names_no_function_or_field_that_only_the_code_has() -> None:
    # ids are made by the stack itself, so that nobody who writes settings meets the last one.
    text = "\n".join(problem.fix for problem in problems() if problem.rule != "mta-sts-id")
    for inside in ("SpfPolicy", "external_hosts", "public_key_of", "to null", "production", "revoked to"):
        assert inside not in text
