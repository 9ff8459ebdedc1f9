"""What needs a way into hosts: their health, served certificates against files, drift from what is declared."""

import hashlib
from collections.abc import Iterator

from mailstack.verify.context import Context
from mailstack.verify.host import HostAccessError, HostFacts
from mailstack.verify.listeners import Endpoint, each, tls_places
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.smtp import session

__all__ = ["drift", "health", "served_certificate"]

NO_ACCESS = "no access to the host was given"
LITTLE, VERY_LITTLE = 0.15, 0.05
BACKUP_WARN_SECONDS, BACKUP_FAIL_SECONDS = 26 * 3600, 3 * 86400


@check(
    number=33,
    name="served-certificate",
    group="E",
    title="The served certificate is the file on the host",
    source="Postal reads its certificate once, at its start (postalserver/postal #378)",
    uses="ssl",
)
def served_certificate(context: Context) -> Iterator[Finding]:
    """Compare what each port serves with its file: a daemon that was not restarted serves the old one."""
    places = [place for place in tls_places(context) if place.ours]
    found = [finding for one in each(places, lambda place: _served(context, place)) for finding in one]
    yield from found
    if not found:
        why = NO_ACCESS if context.access is None else "of no port of our hosts is it known which file it serves"
        yield not_applicable("", why)


def _served(context: Context, place: Endpoint) -> list[Finding]:
    machine = None if context.access is None else context.access.at(place.address)
    facts = None if machine is None else _facts(context, machine)
    if isinstance(facts, HostAccessError):
        return [unknown(str(place), str(facts))]
    file = None if facts is None else facts.certificates.get(place.port)
    if file is None:
        return []
    if file.error:
        fix = "deliver the certificate there, or correct the path"
        return [fail(str(place), f"{file.path}: {file.error}", expected="a certificate", fix=fix)]
    tls = session(context, place).tls
    if tls is None:
        return [unknown(str(place), "no certificate was served; see the check starttls")]
    served = hashlib.sha256(tls.certificate).hexdigest()
    if served == file.sha256:
        return [ok(str(place), f"{file.path} is what is served", f"SHA-256 {served}")]
    return [
        fail(
            str(place),
            f"another certificate than {file.path} is served",
            f"served: SHA-256 {served}",
            f"file: SHA-256 {file.sha256}",
            expected="the same: the old one ends although it was renewed",
            fix="restart what serves the port (docker restart postal-smtp, systemctl reload postfix), and look why the "
            "renewal did not do so",
        )
    ]


@check(
    number=43,
    name="host-health",
    group="G",
    title="Hosts: clock, space, memory, backup, updates, SSH logins",
    source="CIS Controls v8 §7.3, §8.4, §11.2; sshd_config(5)",
)
def health(context: Context) -> Iterator[Finding]:
    """Judge what each host says about itself."""
    machines = () if context.access is None else context.access.machines()
    if not machines:
        yield not_applicable("", NO_ACCESS)
    for found in each(machines, lambda machine: list(_health(context, machine))):
        yield from found


def _health(context: Context, host: str) -> Iterator[Finding]:
    facts = _facts(context, host)
    if isinstance(facts, HostAccessError):
        yield unknown(host, str(facts))
    else:
        yield _clock(host, facts)
        yield from (_space(f"{host} {place}", "disk", free) for place, free in facts.disks.items())
        yield (
            unknown(f"{host} memory", "the host cannot tell")
            if facts.memory is None
            else _space(f"{host} memory", "memory", facts.memory)
        )
        yield _backup(host, facts)
        yield _updates(host, facts)
        yield _reboot(host, facts)
        yield _logins(host, facts)


def _clock(host: str, facts: HostFacts) -> Finding:
    subject = f"{host} clock"
    if facts.clock_synchronised is None:
        return unknown(subject, "the host cannot tell whether its clock is synchronised")
    if facts.clock_synchronised:
        return ok(subject, "synchronised")
    fix = "enable systemd-timesyncd or chrony, and let it reach its servers (UDP 123)"
    return fail(subject, "not synchronised", expected="NTP: signatures and certificates depend on the time", fix=fix)


def _space(subject: str, what: str, free: float) -> Finding:
    found = f"{free:.0%} free"
    if free >= LITTLE:
        return ok(subject, found)
    judge = fail if free < VERY_LITTLE and what == "disk" else warn
    fix = "make the disk larger, or remove old logs, backups and images" if what == "disk" else "give the host more"
    return judge(subject, found, expected=f"{LITTLE:.0%} or more: a server without room loses mail", fix=fix)


def _backup(host: str, facts: HostFacts) -> Finding:
    subject = f"{host} backup"
    if not facts.backups:
        return not_applicable(subject, "no backups are declared for this host")
    age = facts.last_backup
    expected = f"one of the last {BACKUP_WARN_SECONDS // 3600} hours"
    fix = "systemctl status mailstack-postal-backup.timer, journalctl -u mailstack-postal-backup"
    if age is None:
        return fail(subject, "there is no backup", expected=expected, fix=fix)
    found = f"the newest is {age / 3600:.0f} hours old"
    if age <= BACKUP_WARN_SECONDS:
        return ok(subject, found)
    return (fail if age > BACKUP_FAIL_SECONDS else warn)(subject, found, expected=expected, fix=fix)


def _updates(host: str, facts: HostFacts) -> Finding:
    subject = f"{host} updates"
    if facts.updates is None:
        return unknown(subject, "the host cannot tell how many updates wait")
    found = f"{facts.updates} wait, {facts.security_updates or 0} of them for security"
    if not facts.security_updates:
        return ok(subject, found)
    fix = "apt-get upgrade or dnf upgrade; unattended-upgrades or dnf-automatic does it every day (security_updates)"
    return warn(subject, found, expected="no security update waits", fix=fix)


def _reboot(host: str, facts: HostFacts) -> Finding:
    subject = f"{host} reboot"
    if facts.reboot_required is None:
        return unknown(subject, "the host cannot tell whether it is to be rebooted")
    if not facts.reboot_required:
        return ok(subject, "no update waits for a reboot")
    return warn(subject, "updates wait for a reboot", expected="the kernel that is installed runs", fix="reboot")


def _logins(host: str, facts: HostFacts) -> Finding:
    subject = f"{host} SSH"
    if facts.password_login is None:
        return unknown(subject, "sshd's configuration could not be read")
    if not facts.password_login:
        return ok(subject, "no logins by password")
    return fail(
        subject,
        "sshd takes passwords",
        expected="keys only: passwords are guessed all day",
        fix="PasswordAuthentication no and KbdInteractiveAuthentication no in /etc/ssh/sshd_config, reload sshd",
    )


@check(
    number=44, name="drift", group="G", title="Hosts and records are as declared", source="docs/how-to/first-stack.md"
)
def drift(context: Context) -> Iterator[Finding]:
    """Ask whoever knows the declaration what differs from it."""
    if context.drift is None:
        yield not_applicable("", "the declaration was not given")
        return
    try:
        differences = context.drift()
    except (OSError, RuntimeError, ValueError) as error:
        yield unknown("", f"it could not be compared: {error}")
        return
    if not differences:
        yield ok("", "nothing differs from the declaration")
    for difference in differences:
        what, _, rest = difference.partition(": ")
        yield fail(
            what if rest else "",
            rest or difference,
            expected="as declared",
            fix="pulumi up mends it; see who changed it by hand, or declare the change",
        )


def _facts(context: Context, machine: str) -> HostFacts | HostAccessError:
    access = context.access
    assert access is not None  # noqa: S101 - tells the type checker; it was asked for its machines

    def ask() -> HostFacts | HostAccessError:
        try:
            return access.facts(machine)
        except HostAccessError as error:
            return error

    return context.once(("machine", machine), ask)
