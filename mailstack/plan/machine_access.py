"""From a plan to the ways into its machines, and where there what is that `verify` compares."""

from collections.abc import Iterator

from mailstack.plan.model import Plan
from mailstack.verify.host import Machine, SshAccess

__all__ = ["machine_access"]

SMTP_PORT = 25
# Below the folder that Postal's configuration is mounted from (roles/postal/paths.py).
POSTAL_CERTIFICATE = "/opt/postal/config/smtp.cert"


def machine_access(plan: Plan) -> SshAccess:
    """Return a way into every host of the plan. It holds the plan's private keys, so it needs the decrypted settings.

    Certificates of web names are not compared: one port serves many. A backup is expected where one is made by itself.
    """
    return SshAccess(
        known={
            name: Machine(
                connection=host.connection,
                addresses=tuple(_addresses(plan, name)),
                certificates=dict(_certificates(plan, name)),
                backups=_backups(plan, name),
            )
            for name, host in plan.hosts.items()
        }
    )


def _addresses(plan: Plan, name: str) -> Iterator[str]:
    host = plan.settings.hosts[name]
    yield from filter(None, (host.public_ipv4, host.public_ipv6))


def _certificates(plan: Plan, name: str) -> Iterator[tuple[int, str]]:
    postal = plan.postal
    if postal is not None and postal.run is not None and postal.run.host == name and postal.definition.smtp_tls:
        yield SMTP_PORT, POSTAL_CERTIFICATE
    submission = plan.relay.definition.submission
    if submission is not None and any(run.host == name for run in plan.relay.runs):
        for port in (*submission.starttls_ports, *submission.tls_ports):
            yield port, submission.certificate_file


def _backups(plan: Plan, name: str) -> str | None:
    postal = plan.postal
    if postal is None or postal.run is None or postal.run.host != name:
        return None
    backup = postal.definition.backup
    return backup.directory if backup.calendar is not None else None
