"""What a change of passwords and keys can cost: whoever logs in with the old one."""

from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from mailstack.diff.risks.model import Risk, listed
from mailstack.plan import Plan

__all__ = ["login_risks"]

Secrets = Mapping[str, SecretStr | None]


def login_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield them for two plans of one stack. Nothing is said of one that comes or goes: other rules do."""
    users = _differ(_submission(before), _submission(after))
    if users:
        yield Risk(
            level="high",
            rule="submission-password-changed",
            what=f"another password for {listed(users)} at submission",
            reason="the old one is refused as soon as the update has run, and what that client sends is not taken",
            advice="add a further user, move the client, then remove the old one",
        )
    keys = _differ(_credentials(before), _credentials(after))
    if keys:
        yield Risk(
            level="high",
            rule="credential-key-changed",
            what=f"another key for credential {listed(keys)}",
            reason="the old key is refused as soon as the update has run: applications that have it cannot send",
            advice="let both work for a while: `mailstack rotate postal-credential`",
        )
    upstreams = _differ(_upstreams(before), _upstreams(after))
    if upstreams:
        yield Risk(
            level="medium",
            rule="upstream-password-changed",
            what=f"another password at {listed(upstreams)}",
            reason="where the upstream does not take it, mail waits in the queue until it does, and then bounces",
            advice="keep the old one valid there until a message went through (`mailstack rotate relay-password`)",
        )
    gone = [name for name in _handed(before) if name not in _handed(after)]
    if gone:
        yield Risk(
            level="medium",
            rule="application-secret-removed",
            what=f"Secret {listed(gone)} goes",
            reason="pods that read their mail settings from it do not start any more, or start without them",
            advice="give the application its new Secret first",
        )


def _handed(plan: Plan) -> list[str]:
    """Return namespace and name of each Secret that an application is given."""
    relay, postal = plan.relay.kubernetes, None if plan.postal is None else plan.postal.kubernetes
    told = () if relay is None else relay.relay.applications
    further = () if postal is None else postal.postal.applications
    return [f"{one.namespace}/{one.name}" for one in (*told, *further)]


def _differ(old: Secrets, new: Secrets) -> list[str]:
    return [name for name in old if old[name] is not None and new.get(name) is not None and old[name] != new[name]]


def _submission(plan: Plan) -> Secrets:
    submission = plan.settings.relay.submission
    return {} if submission is None else {user.name: user.password for user in submission.users}


def _credentials(plan: Plan) -> Secrets:
    postal = plan.settings.postal
    servers = () if postal is None else postal.mail_servers
    return {f"{one.identity} of {name}": one.key for name, server in servers for one in server.credentials}


def _upstreams(plan: Plan) -> Secrets:
    relay = plan.settings.relay
    further = {f"upstream {name}": one.password for name, one in relay.upstreams.items()}
    return {"the upstream": relay.upstream.password, **further} if plan.relay.placed else {}
