"""The look-up tables of the relay."""

import re
from typing import Any

from mailstack.postfix.definition import RelayDefinition
from mailstack.postfix.log_lines import QUOTA_MARK
from mailstack.postfix.master_cf import BOUNCE_TRANSPORT

__all__ = ["QUOTA_MARK", "maps"]

# RFC 6531 §3.7.4.2 has the code, RFC 3463 §3.7 the class.
NO_SMTPUTF8 = "553 5.6.7 this address needs SMTPUTF8, which the upstream does not take"


def _lower(names: tuple[str, ...]) -> list[str]:
    return [name.lower() for name in names]


def maps(definition: RelayDefinition) -> dict[str, dict[str, Any]]:
    """Return the look-up tables: name → ``{"kind": "indexed", "entries"}`` or ``{"kind": "regexp", "rules"}``.

    The table with the password is not among them: the role writes it from the secret.
    """
    senders = dict.fromkeys(_lower(definition.sender_domains), "OK")
    # The hosts below a masqueraded domain may send: their names are cut off before the mail leaves.
    senders |= {f".{domain}": "OK" for domain in _lower(definition.masquerade_domains)}
    senders["<>"] = "OK"
    allowed = "|".join(re.escape(domain).replace(r"\-", "-") for domain in _lower(definition.sender_domains))
    hosts = "|".join(re.escape(domain).replace(r"\-", "-") for domain in _lower(definition.masquerade_domains))
    suffixes = f"({allowed})" if not hosts else f"(({allowed})|([^@]*\\.)({hosts}))"
    tables: dict[str, dict[str, Any]] = {
        "senders": {"kind": "indexed", "entries": senders},
        "local_senders": {
            "kind": "regexp",
            # The first rule that matches wins: an allowed sender becomes itself.
            "rules": [[f"^(.*@{suffixes})$", "${1}"], ["^(.*)@[^@]*$", f"${{1}}@{definition.sender_domains[0]}"]],
        },
    }
    if definition.upstreams:
        entries = {
            f"@{domain}": f"{upstream.transport}:{upstream.next_hop}"
            for upstream in definition.upstreams
            for domain in _lower(upstream.sender_domains)
        }
        tables["upstreams"] = {"kind": "indexed", "entries": entries}
    if not definition.smtputf8:
        tables["non_ascii"] = {"kind": "regexp", "rules": [["[^ -~]", NO_SMTPUTF8]]}
    if definition.bounce_host is not None:
        hop = f"{BOUNCE_TRANSPORT}:[{definition.bounce_host}]:25"
        tables["bounces"] = {"kind": "indexed", "entries": dict.fromkeys(_lower(definition.bounce_domains), hop)}
    if definition.temporary_reply_patterns:
        tables["temporary_replies"] = {
            "kind": "regexp",
            "rules": [
                [f"^5(.*({pattern}).*)$", f"4${{1}} {QUOTA_MARK}"] for pattern in definition.temporary_reply_patterns
            ],
        }
    return tables
