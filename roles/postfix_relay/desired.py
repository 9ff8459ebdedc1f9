"""What the host should be like: the managed files, from settings and facts."""

import hashlib
import os
from typing import Any, Dict, List

from mailstack.postfix.files import COMPILED_SUFFIXES, postfix_files
from mailstack.postfix.platforms import PLATFORMS, Platform, reference_values
from mailstack.postfix.render import RenderError
from postfix_relay import monitoring, paths, submission
from rolelib.files import DesiredFile
from rolelib.host import RoleError

__all__ = ["Desired", "desired", "digest", "platform_row"]

HEADER = """Managed by mailstack: the next run undoes changes made here.
Change the stack's settings instead; `mailstack check` shows what differs."""
MAP_COMMENT = "Managed by mailstack: the next run undoes changes made here."
LOG_KEPT_DAYS = 30

LOG_SERVICE_UNIT = """# Managed by mailstack.
[Unit]
Description=Rotate the log of the Postfix relay
ConditionFileNotEmpty={log}

[Service]
Type=oneshot
ExecStart={postfix} logrotate
ExecStart={find} {directory} -name postfix.log.* -mtime +{days} -delete
"""
LOG_TIMER_UNIT = """# Managed by mailstack.
[Unit]
Description=Rotate the log of the Postfix relay daily

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=true

[Install]
WantedBy=timers.target
"""
AFTER_UNIT = """# Managed by mailstack: Postfix listens on an address that this unit waits for.
[Unit]
Wants={unit}
After={unit}
"""
# Rotation makes the log anew, as root: so at every start.
LOG_DROP_IN = """# Managed by mailstack: before it starts, Postfix goes through its queue as user postfix.
# What it finds odd, such as half a message that a crash has left, it tells in the log (postsuper(1)), and where that
# log is not its own it does not start.
[Service]
ExecStartPre=-/bin/sh -c 'touch {log} && chown postfix {log} && chmod 600 {log}'
"""


class Desired:
    """Files as they should be, the compiled maps among them by name, and what was left out for this build."""

    def __init__(
        self,
        files: List[DesiredFile],
        indexed: List[str],
        map_type: str,
        left_out: List[str],
        parameters: Dict[str, Any],
    ) -> None:
        """``indexed`` are paths of map sources that postmap compiles."""
        self.files = {file.path: file for file in files}
        self.indexed = indexed
        self.map_type = map_type
        self.left_out = left_out
        self.parameters = parameters

    def compiled(self, source: str) -> str:
        """Return the path of what postmap makes of ``source``."""
        return source + COMPILED_SUFFIXES[self.map_type]


def digest(text: str) -> str:
    """Return the SHA-256 of a file's text in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def platform_row(family: str) -> Platform:
    """Return the row of the platform table with that family name."""
    return next(platform for platform in PLATFORMS if platform.family == family)


def desired(settings: Dict[str, Any], secrets: Dict[str, Any], facts: Dict[str, Any]) -> Desired:
    """Return what should be on the host. Needs ``facts["postfix"]``. Raises RoleError for unusable input."""
    platform = platform_row(facts["family"])
    defaults, supported = facts["postfix"]["defaults"], facts["postfix"]["maps"]
    references = reference_values(platform, defaults, supported)
    try:
        made = postfix_files(settings, secrets, references, defaults, (HEADER, MAP_COMMENT))
    except RenderError as error:
        raise RoleError("settings", str(error)) from None
    files = [
        DesiredFile(
            os.path.join(paths.CONFIG_DIRECTORY, file.name),
            file.text,
            mode=0o600 if file.secret else 0o644,
            secret=file.secret,
        )
        for file in made.files
    ]
    indexed = [os.path.join(paths.CONFIG_DIRECTORY, file.name) for file in made.files if file.indexed]
    files += _tools(platform, facts)
    files += submission.files(settings, facts.get("submission_hashes", {}))
    if settings.get("after_unit"):
        text = AFTER_UNIT.format(unit=settings["after_unit"])
        files += [DesiredFile(path, text) for path in paths.AFTER_UNIT_DROP_INS]
    map_type = references["map_type"] or "texthash"
    return Desired(files, indexed, map_type, made.left_out, dict(made.parameters))


def _tools(platform: Platform, facts: Dict[str, Any]) -> List[DesiredFile]:
    directory = os.path.dirname(platform.log_file)
    service = LOG_SERVICE_UNIT.format(
        log=platform.log_file,
        directory=directory,
        days=LOG_KEPT_DAYS,
        postfix="/usr/sbin/postfix",
        find="/usr/bin/find",
    )
    return [
        *monitoring.tools(facts["python"]),
        DesiredFile(os.path.join(paths.SYSTEM_UNITS, paths.LOG_SERVICE), service),
        DesiredFile(os.path.join(paths.SYSTEM_UNITS, paths.LOG_TIMER), LOG_TIMER_UNIT),
        *(DesiredFile(path, LOG_DROP_IN.format(log=platform.log_file)) for path in paths.LOG_DROP_INS),
    ]
