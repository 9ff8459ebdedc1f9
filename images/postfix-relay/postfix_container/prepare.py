"""Writes /etc/postfix and the queue's directories, and has Postfix read them before anything starts."""

import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from mailstack.postfix.files import COMPILED_SUFFIXES, FAULTS, backdate, parameters_of, postfix_files
from mailstack.postfix.platforms import platform_of, reference_values
from mailstack.postfix.render import RenderError
from postfix_container import paths
from postfix_container.configuration import Configuration, ConfigurationError
from postfix_container.log_pipe import log_pipe

__all__ = ["prepare", "queue_folders"]

QUEUE_PREFIX = "$queue_directory/"
# Set-gid and sticky bits, which Debian's package adds, are left as they are.
RIGHTS = 0o777

COMMENT = (
    "Made when the container started, from what it was given: changes made here are gone with it.",
    "Made when the container started.",
)


def prepare(configuration: Configuration) -> None:
    """Write and check everything. Raises ConfigurationError with Postfix's own words for what it refuses."""
    for folder in (paths.CONFIGURATION, paths.DATA, paths.QUEUE):
        _own(folder)
    shutil.copytree(paths.SHIPPED, paths.CONFIGURATION, dirs_exist_ok=True)
    main_cf = paths.CONFIGURATION / "main.cf"
    main_cf.write_text("")
    backdate(str(main_cf))
    defaults = parameters_of(_run(["postconf", "-d"]))
    # Debian's row, but the log goes where a container's log goes.
    platform = platform_of({"ID": "debian"})._replace(log_file="/dev/stdout")
    references = reference_values(platform, defaults, _run(["postconf", "-m"]).split())
    try:
        made = postfix_files(configuration.settings, configuration.secrets, references, defaults, COMMENT)
    except RenderError as error:
        raise ConfigurationError(str(error)) from None
    # Where it is no mount, the tables of the start before are still there.
    shutil.rmtree(paths.MAPS, ignore_errors=True)
    paths.MAPS.mkdir()
    for file in made.files:
        target = paths.CONFIGURATION / file.name
        target.touch(mode=0o600 if file.secret else 0o644)
        target.write_text(file.text)
        backdate(str(target))
    _compile([file.name for file in made.files if file.indexed], references["map_type"] or "texthash")
    # A mount in memory belongs to root.
    shutil.chown(paths.DATA, "postfix", "postfix")
    for listing in ("-n", "-M"):
        _complain(["postconf", listing])
    _make_queue(paths.QUEUE, (paths.SHIPPED / "postfix-files").read_text(encoding="utf-8"))
    _complain(["postfix", "check"])


def queue_folders(postfix_files: str) -> Iterator[tuple[str, int, bool, bool]]:
    """Yield the folders of a queue: name, mode, whether Postfix's own user has it, whether its set-gid group does.

    As Debian's ``postfix-files`` says: name:type:owner:group:permission:flags (post-install(1)).
    """
    for line in postfix_files.splitlines():
        name, kind, owner, group, mode, *_flags = [*line.split(":"), "", "", "", ""]
        if kind == "d" and name.startswith(QUEUE_PREFIX):
            yield name.removeprefix(QUEUE_PREFIX), int(mode, 8), owner == "$mail_owner", group == "$setgid_group"


def _make_queue(queue: Path, postfix_files: str) -> None:
    """Make what is missing in a queue, as after an installation, and mend what has other rights.

    Not by `postfix post-install create-missing`: it gives a folder away before it sets its mode, which takes a right
    (FOWNER) that the container does not have. On an empty volume it failed, halfway.
    """
    user, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    for name, mode, is_postfixs, is_groups in queue_folders(postfix_files):
        folder = queue / name
        folder.mkdir(exist_ok=True)
        found, wanted = folder.stat(), (user if is_postfixs else 0, group if is_groups else 0)
        if (found.st_uid, found.st_gid) == wanted and found.st_mode & RIGHTS == mode:
            continue
        os.chown(folder, 0, wanted[1])
        folder.chmod(mode)
        os.chown(folder, *wanted)


def _own(folder: Path) -> None:
    """Let root alone write to a mount, which may come writable for everybody. What Postfix has taken over stays."""
    if folder == paths.QUEUE and folder.stat().st_uid != 0:
        shutil.chown(folder, 0, 0)
    if folder.stat().st_uid == 0:
        folder.chmod(0o755)


def _compile(sources: Sequence[str], kind: str) -> None:
    if kind != "texthash":
        _complain(["postmap", *(f"{kind}:{paths.CONFIGURATION / source}" for source in sources)])
    for source in sources:
        path = paths.CONFIGURATION / source
        compiled = path.with_name(path.name + COMPILED_SUFFIXES[kind])
        # postmap makes its file as readable as the umask says; the one with a password must not be.
        compiled.chmod(path.stat().st_mode & 0o777)
        backdate(str(compiled))


def _run(command: Sequence[str]) -> str:
    return _finished(command).stdout


def _complain(command: Sequence[str]) -> None:
    """Run a command that has nothing to say about a good configuration."""
    result = _finished(command)
    faults = [line for line in result.stderr.splitlines() if any(fault in line for fault in FAULTS)]
    if faults:
        raise ConfigurationError("Postfix refuses the configuration: " + "\n".join(dict.fromkeys(faults)))


def _finished(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    told, telling = log_pipe()
    with tempfile.TemporaryFile("w+") as errors:
        try:
            started = subprocess.Popen(command, stdout=telling, stderr=errors, text=True)
        finally:
            os.close(telling)
        with os.fdopen(told, encoding="utf-8", errors="replace") as stream:
            said = stream.read()
        code = started.wait()
        errors.seek(0)
        result = subprocess.CompletedProcess(command, code, said, errors.read())
    if result.returncode != 0:
        last = (result.stderr or result.stdout).strip().splitlines()[-3:]
        raise ConfigurationError(f"{' '.join(command[:2])} fails: {' '.join(last) or result.returncode}")
    return result
