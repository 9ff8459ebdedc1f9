"""A new configuration, tried with the host's own programs before anything of the running one is touched."""

import contextlib
import os
import select
import shutil
import subprocess
import time
from typing import Any, Dict, List

from mailstack.postfix.files import FAULTS, backdate
from postfix_relay import paths
from postfix_relay.desired import Desired
from rolelib.commands import run
from rolelib.files import DesiredFile, write
from rolelib.host import RoleError

__all__ = ["build", "discard", "examine"]

# Daemons that read their settings and open their maps before they greet; the greeting is the proof.
TRIED_DAEMONS = ("smtp", "smtpd")
GREETING_SECONDS = 15


def build(wanted: Desired) -> List[str]:
    """Write ``wanted``'s files of Postfix into the candidate directory and compile its maps.

    Returns the paths, as they will be in the real directory, of all files made. Only root can look inside.
    """
    discard()
    os.makedirs(os.path.join(paths.CANDIDATE, os.path.basename(paths.MAPS_DIRECTORY)), mode=0o700)
    os.chmod(paths.CANDIDATE, 0o700)
    made = []
    for path, file in wanted.files.items():
        if path.startswith(paths.CONFIG_DIRECTORY):
            write(DesiredFile(there(path), file.content, file.mode, file.owner, file.group))
            backdate(there(path))
            made.append(path)
    if wanted.indexed and wanted.map_type != "texthash":
        tables = [f"{wanted.map_type}:{there(source)}" for source in wanted.indexed]
        result = run(["postmap", "-c", paths.CANDIDATE, *tables], check=False)
        if not result.ok or result.err.strip():
            raise RoleError("check", f"postmap refuses a map: {result.err.strip()}")
        for source in wanted.indexed:
            # postmap makes its file readable as the umask says; the one with a password must not be.
            os.chmod(there(wanted.compiled(source)), wanted.files[source].mode)
            made.append(wanted.compiled(source))
    return made


def there(path: str) -> str:
    """Return the place in the candidate directory of a path below /etc/postfix."""
    return paths.CANDIDATE + path[len(paths.CONFIG_DIRECTORY) :]


def discard() -> None:
    """Remove the candidate directory; it may hold a password."""
    shutil.rmtree(paths.CANDIDATE, ignore_errors=True)


def examine(wanted: Desired, facts: Dict[str, Any], settings: Dict[str, Any], warnings: List[str]) -> None:
    """Have Postfix read the candidate. Raises RoleError with Postfix's own words for what it refuses."""
    authorities = wanted.parameters.get("smtp_tls_CAfile")
    if authorities and not os.path.isfile(str(authorities)):
        raise RoleError("check", f"smtp_tls_CAfile: {authorities} is no file on this host")
    # Unused and misspelt parameters are warnings to Postfix. Here they are errors: they do not do what they say.
    for listing in ("-n", "-M"):
        warnings += _complaints(run(["postconf", "-c", paths.CANDIDATE, listing], check=False))
    # Its warnings are about the host (owners, stale copies in a jail), not about the configuration.
    _complaints(run(["postfix", "-c", paths.CANDIDATE, "check"], check=False))
    for name, table in sorted(settings["maps"].items()):
        if table["kind"] == "regexp":
            source = os.path.join(there(paths.MAPS_DIRECTORY), name)
            result = run(["postmap", "-c", paths.CANDIDATE, "-q", "nothing", f"regexp:{source}"], check=False)
            if result.err.strip():
                raise RoleError("check", f"map {name}: {result.err.strip()}")
    for daemon in TRIED_DAEMONS:
        _try_daemon(os.path.join(facts["postfix"]["defaults"]["daemon_directory"], daemon))


def _complaints(result: Any) -> List[str]:
    lines = list(dict.fromkeys(line for line in result.err.splitlines() if line.strip()))
    faults = [line for line in lines if any(fault in line for fault in FAULTS)]
    if faults or not result.ok:
        what = "\n".join(faults or lines[-5:])
        raise RoleError(
            "check", f"Postfix refuses the configuration: {what}".replace(paths.CANDIDATE, paths.CONFIG_DIRECTORY)
        )
    return lines


def _try_daemon(program: str) -> None:
    """Start a daemon alone (``-S``) on the candidate, wait for its greeting, end it. It handles no mail."""
    name = os.path.basename(program)
    process = subprocess.Popen(
        # Its log goes to the journal: the relay's own log file is for the real ones.
        [program, "-S", "-o", "maillog_file=", "-n", name, "-t", "unix"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, MAIL_CONFIG=paths.CANDIDATE, LC_ALL="C.UTF-8"),
    )
    assert process.stdout is not None  # noqa: S101 - for the type checker: it was asked for above
    try:
        ready, _, _ = select.select([process.stdout], [], [], GREETING_SECONDS)
        greeting = os.read(process.stdout.fileno(), 1000) if ready else b"slow"
    finally:
        with contextlib.suppress(OSError):
            process.kill()
        process.communicate()
    if not greeting:
        raise RoleError("check", f"{name} does not start with the configuration: {_last_words(process.pid)}")


def _last_words(pid: int) -> str:
    for _ in range(10):  # the journal needs a moment
        lines = run(["journalctl", f"_PID={pid}", "-o", "cat", "--no-pager"], check=False).out.splitlines()
        found = [line for line in lines if "fatal:" in line or "error:" in line]
        if found:
            return found[-1].replace(paths.CANDIDATE, paths.CONFIG_DIRECTORY)
        time.sleep(0.2)
    return "it gave no reason"
