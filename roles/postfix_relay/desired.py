"""What the host should be like: the managed files, from settings and facts."""

import hashlib
import os
from typing import Any, Dict, List, Optional, Tuple

from mailstack.postfix.platforms import PLATFORMS, Platform, reference_values
from mailstack.postfix.render import (
    RenderError,
    decode_value,
    render_indexed_map,
    render_main_cf,
    render_master_cf,
    render_regexp_map,
    resolve,
    service_from,
)
from postfix_relay import paths, submission
from rolelib.files import DesiredFile, read
from rolelib.host import RoleError

__all__ = ["COMPILED_SUFFIXES", "Desired", "desired", "digest", "platform_row"]

HEADER = """Managed by mailstack: the next run undoes changes made here.
Change the stack's settings instead; `mailstack check` shows what differs."""
MAP_COMMENT = "Managed by mailstack: the next run undoes changes made here."
# What postmap adds to the name of a map's source.
COMPILED_SUFFIXES = {"lmdb": ".lmdb", "hash": ".db", "texthash": ""}
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
        wanted = {name: decode_value(value) for name, value in settings["main_cf"]}
        parameters, left_out = resolve(wanted, references)
        # An older Postfix lacks some parameters. One asked for in the settings is an error there, not a silent loss.
        unknown = [name for name in parameters if name not in defaults and not _is_transport_parameter(name)]
        for name in unknown:
            if name not in settings["extra_parameters"]:
                del parameters[name]
                left_out.append(name)
        files = [
            DesiredFile(paths.MAIN_CF, render_main_cf(parameters, settings["reasons"], HEADER)),
            DesiredFile(
                paths.MASTER_CF,
                render_master_cf([service_from(service) for service in settings["master_cf"]], HEADER),
            ),
        ]
        maps, indexed = _maps(settings, secrets)
    except RenderError as error:
        raise RoleError("settings", str(error)) from None
    files += maps
    files += _tools(platform, facts)
    files += submission.files(settings, facts.get("submission_hashes", {}))
    if settings.get("after_unit"):
        text = AFTER_UNIT.format(unit=settings["after_unit"])
        files += [DesiredFile(path, text) for path in paths.AFTER_UNIT_DROP_INS]
    map_type = references["map_type"] or "texthash"
    return Desired(files, indexed, map_type, left_out, dict(parameters))


def _is_transport_parameter(name: str) -> bool:
    """Tell parameters made from a transport name, such as smtp_destination_rate_delay: postconf -d lacks some."""
    return "_destination_" in name


def _maps(settings: Dict[str, Any], secrets: Dict[str, Any]) -> Tuple[List[DesiredFile], List[str]]:
    files, indexed = [], []
    for name, table in sorted(settings["maps"].items()):
        path = os.path.join(paths.MAPS_DIRECTORY, name)
        if table["kind"] == "indexed":
            indexed.append(path)
            text = render_indexed_map(table["entries"], MAP_COMMENT)
        else:
            text = render_regexp_map([(pattern, result) for pattern, result in table["rules"]], MAP_COMMENT)
        files.append(DesiredFile(path, text))
    for path, entries in sorted(_logins(settings, secrets).items()):
        files.append(DesiredFile(path, render_indexed_map(entries, MAP_COMMENT), mode=0o600, secret=True))
        indexed.append(path)
    return files, indexed


def _logins(settings: Dict[str, Any], secrets: Dict[str, Any]) -> Dict[str, Dict[str, str]]:
    """Return the tables with passwords: path -> next hop -> ``user:password``."""
    found: Dict[str, Dict[str, str]] = {}
    if settings["sasl"] is not None:
        login = _login(settings["sasl"]["username"], secrets.get("sasl_password"), "upstream.password")
        found[paths.SASL_MAP] = {settings["sasl"]["next_hop"]: login}
    for entry in settings.get("more_logins", []):
        passwords = secrets.get("upstream_passwords") or {}
        field = f"upstreams.{entry['password_of']}.password"
        login = _login(entry["username"], passwords.get(entry["password_of"]), field)
        path = os.path.join(paths.MAPS_DIRECTORY, entry["map"])
        found.setdefault(path, {})[entry["next_hop"]] = login
    return found


def _login(username: str, password: Optional[str], field: str) -> str:
    if not password:
        raise RoleError("settings", f"the upstream wants a user name, but no password came: set {field}")
    if password != password.rstrip() or any(ord(character) < 32 for character in password):
        raise RoleError(
            "settings",
            f"{field} ends with a blank or has a line end in it; Postfix cannot keep that (postmap(1))",
        )
    return f"{username}:{password}"


def _tools(platform: Platform, facts: Dict[str, Any]) -> List[DesiredFile]:
    directory = os.path.dirname(platform.log_file)
    source = read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay_stats.py")) or ""
    service = LOG_SERVICE_UNIT.format(
        log=platform.log_file,
        directory=directory,
        days=LOG_KEPT_DAYS,
        postfix="/usr/sbin/postfix",
        find="/usr/bin/find",
    )
    return [
        DesiredFile(paths.STATISTICS, f"#!{facts['python']}\n{source}", mode=0o755),
        DesiredFile(os.path.join(paths.SYSTEM_UNITS, paths.LOG_SERVICE), service),
        DesiredFile(os.path.join(paths.SYSTEM_UNITS, paths.LOG_TIMER), LOG_TIMER_UNIT),
    ]
