"""Rules of ``verify`` that need more than its own fields."""

from collections.abc import Iterator

from mailstack.settings.message_way import message_way
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, one_of

__all__ = ["VERIFY_RULES"]


def _checks(settings: Settings) -> Iterator[Problem]:
    if not settings.verify.checks:
        return
    # Only a stack that names checks pays for reading all of them.
    from mailstack.verify.selection import names_and_groups  # noqa: PLC0415

    known = names_and_groups()
    for index, name in enumerate(settings.verify.checks):
        if name not in known:
            yield Problem(
                field=f"verify.checks[{index}]",
                value=name,
                rule="must be the name of a check or the letter of a group",
                fix=one_of(known, name),
            )


def _message(settings: Settings) -> Iterator[Problem]:
    declared = settings.verify.message
    if declared is None:
        return
    domain, names = declared.sender.rpartition("@")[2], [one.name for one in settings.mail_domains]
    if domain not in names:
        yield Problem(
            field="verify.message.sender",
            value=declared.sender,
            rule="must be in one of `domains` that sends: it is this stack's way that is looked at",
            fix=one_of([f"{declared.sender.rpartition('@')[0]}@{name}" for name in names], declared.sender),
        )
    elif message_way(settings, declared.sender) is None:
        yield Problem(
            field="verify.message.sender",
            value=declared.sender,
            rule="has no way to send from elsewhere: no credential of Postal for its domain, no login of the relay, no "
            "network of clients that reaches it",
            fix="declare a credential of type API in postal.organizations, relay.submission, or relay.client_networks "
            "with relay.listen_addresses",
        )


VERIFY_RULES = (_checks, _message)
