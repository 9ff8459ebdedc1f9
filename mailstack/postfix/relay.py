"""The relay: one definition, and everything of Postfix that follows from it.

Every placement (virtual machine, container, Kubernetes) renders the same settings.
"""

from dataclasses import asdict
from typing import Any

from mailstack.postfix.addresses import listen_on
from mailstack.postfix.definition import (
    PROTECTED_PARAMETERS,
    RelayDefinition,
    RelayDefinitionError,
    RelayUpstream,
    Submission,
)
from mailstack.postfix.main_cf import PROOF_HELO, REASONS, main_cf
from mailstack.postfix.maps import QUOTA_MARK, maps
from mailstack.postfix.master_cf import master_cf
from mailstack.postfix.render import encode_value

__all__ = [
    "PROOF_HELO",
    "PROTECTED_PARAMETERS",
    "QUOTA_MARK",
    "REASONS",
    "RelayDefinition",
    "RelayDefinitionError",
    "RelayUpstream",
    "Submission",
    "main_cf",
    "maps",
    "master_cf",
    "role_settings",
]


def role_settings(definition: RelayDefinition) -> dict[str, Any]:
    """Return the settings of the role ``postfix_relay``: plain JSON, without any secret."""
    parameters = main_cf(definition)
    return {
        "hostname": definition.hostname,
        "listen": [
            *([str(address), definition.listen_port] for address in dict.fromkeys(listen_on(definition))),
            *_submission_ports(definition.submission),
        ],
        # A list of pairs: JSON objects do not promise an order, and the file keeps one.
        "main_cf": [[name, encode_value(value)] for name, value in parameters.items()],
        "reasons": {name: text for name, text in REASONS.items() if name in parameters},
        # Unknown to an old Postfix, these are errors; every other parameter is left out there.
        "extra_parameters": sorted(definition.extra_parameters),
        "master_cf": [
            {**service._asdict(), "options": {name: encode_value(value) for name, value in service.options.items()}}
            for service in master_cf(definition)
        ],
        "maps": maps(definition),
        "sasl": None
        if definition.sasl_username is None
        else {"next_hop": definition.next_hop, "username": definition.sasl_username},
        **_more_logins(definition),
        **({} if definition.submission is None else {"submission": asdict(definition.submission)}),
        "after_unit": definition.after_unit,
        "weaker_tls": None if definition.tls_level == "secure" else definition.tls_level,
    }


def _more_logins(definition: RelayDefinition) -> dict[str, Any]:
    """Return the logins beside the first upstream's: in which table, at which next hop, as whom, whose password.

    A fallback is reached by every service, so each table has its login too.
    """
    fallback = definition.fallback
    logins = [(upstream.password_map, upstream) for upstream in definition.upstreams]
    if fallback is not None:
        logins += [("sasl_passwd", fallback)]
        logins += [(up.password_map, fallback) for up in definition.upstreams if up.next_hop != fallback.next_hop]
    found = [
        {"map": table, "next_hop": upstream.next_hop, "username": upstream.sasl_username, "password_of": upstream.name}
        for table, upstream in logins
        if upstream.sasl_username is not None
    ]
    return {"more_logins": found} if found else {}


def _submission_ports(submission: Submission | None) -> list[list[Any]]:
    """Return the ports of submission that greet in clear; those that start with TLS cannot be asked like that."""
    if submission is None:
        return []
    return [[address, port] for address in submission.listen_addresses for port in submission.starttls_ports]
