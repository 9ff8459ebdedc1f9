"""Rules of ``relay_rule`` that need more than one field."""

from collections.abc import Callable, Iterator

from mailstack.settings.model import Settings
from mailstack.settings.names import google_senders
from mailstack.settings.problems import Problem, one_of

__all__ = ["RELAY_RULE_RULES"]


def _relay_rule(settings: Settings) -> Iterator[Problem]:
    declared, relay = settings.relay_rule, settings.relay
    if declared is None or any(name not in settings.hosts for name in relay.host_names):
        return
    if settings.google_upstream is None:
        yield Problem(
            field="relay_rule",
            value="a mapping",
            rule=f"is a setting of Google Workspace; the upstream is {relay.upstream.preset}",
            fix="remove it, or use preset google-workspace",
        )
        return
    names = list(google_senders(settings))
    if not names:
        yield Problem(
            field="relay_rule",
            value="a mapping",
            rule="is about no mail: every domain goes to another upstream than Google",
            fix="remove it, or leave a domain to Google's upstream",
        )
        return
    for index, name in enumerate(declared.domains or ()):
        if name not in names:
            yield Problem(
                field=f"relay_rule.domains[{index}]",
                value=name,
                rule="must be one of domains whose mail goes to Google",
                fix=one_of(names, name),
            )
    sender = declared.probe.sender
    if sender is not None and sender.rpartition("@")[2] not in names:
        yield Problem(
            field="relay_rule.probe.sender",
            value=sender,
            rule="must be an address in one of domains whose mail goes to Google: it refuses others",
            fix=f"use postmaster@{names[0]}",
        )


RELAY_RULE_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_relay_rule,)
