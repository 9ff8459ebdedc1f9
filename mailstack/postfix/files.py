"""The files of Postfix from a relay's settings: main.cf, master.cf and look-up tables, the same for every placement.

A role and the container image carry this module, so it keeps to Python 3.6 and the standard library.
"""

import os
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from mailstack.postfix.render import (
    RenderError,
    Value,
    decode_value,
    render_indexed_map,
    render_main_cf,
    render_master_cf,
    render_regexp_map,
    resolve,
    service_from,
)

__all__ = [
    "COMPILED_SUFFIXES", "FAULTS", "MAPS", "RESTART_PARAMETERS", "PostfixFile", "PostfixFiles", "backdate",
    "parameters_of", "postfix_files",
]  # fmt: skip

# Where the look-up tables are, below the configuration directory.
MAPS = "mailstack"
# What Postfix's programs say of a configuration that is not right, some of them with exit code 0.
FAULTS = ("fatal:", "error:", "unused parameter", "unsupported dictionary", "unknown", "undefined")
FIRST_LOGIN_MAP = "sasl_passwd"
# Postfix reads these at its start only, see postconf(5) and MAILLOG_README.
RESTART_PARAMETERS = ("inet_interfaces", "inet_protocols", "maillog_file", "queue_directory", "data_directory")
SETTLED_SECONDS = 10
# What postmap adds to the name of a map's source.
COMPILED_SUFFIXES = {"lmdb": ".lmdb", "hash": ".db", "texthash": ""}


class PostfixFile(NamedTuple):
    """One file; ``name`` is below the configuration directory, ``indexed`` are sources that postmap compiles."""

    name: str
    text: str
    secret: bool = False
    indexed: bool = False


class PostfixFiles(NamedTuple):
    """All files, what main.cf says, and the parameters that this build of Postfix does not know."""

    files: List[PostfixFile]
    parameters: Dict[str, Value]
    left_out: List[str]


def postfix_files(
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    references: Mapping[str, Optional[str]],
    defaults: Mapping[str, str],
    comment: Tuple[str, str],
) -> PostfixFiles:
    """Return the files for ``settings`` (see ``relay.role_settings``) on a host with ``references``.

    ``defaults`` is what ``postconf -d`` says there, ``comment`` the first lines of main.cf and of a map.
    Raises RenderError for a value that Postfix would read another way, and for a password that is missing.
    """
    header, map_comment = comment
    wanted = {name: decode_value(value) for name, value in settings["main_cf"]}
    parameters, left_out = resolve(wanted, references)
    # An older Postfix lacks some parameters. One asked for in the settings is an error there, not a silent loss.
    unknown = [name for name in parameters if name not in defaults and not _is_transport_parameter(name)]
    for name in unknown:
        if name not in settings["extra_parameters"]:
            del parameters[name]
            left_out.append(name)
    services = [service_from(service) for service in settings["master_cf"]]
    files = [
        PostfixFile("main.cf", render_main_cf(parameters, settings["reasons"], header)),
        PostfixFile("master.cf", render_master_cf(services, header)),
    ]
    for name, table in sorted(settings["maps"].items()):
        if table["kind"] == "indexed":
            text = render_indexed_map(table["entries"], map_comment)
        else:
            text = render_regexp_map([(pattern, result) for pattern, result in table["rules"]], map_comment)
        files.append(PostfixFile(f"{MAPS}/{name}", text, indexed=table["kind"] == "indexed"))
    for name, entries in sorted(_logins(settings, secrets).items()):
        files.append(PostfixFile(f"{MAPS}/{name}", render_indexed_map(entries, map_comment), secret=True, indexed=True))
    return PostfixFiles(files, parameters, left_out)


def parameters_of(text: str) -> Dict[str, str]:
    """Return what ``postconf`` printed, such as the defaults of ``postconf -d``: name to value."""
    pairs = (line.split(" =", 1) for line in text.splitlines() if " =" in line)
    return {name: value.strip() for name, value in pairs}


def backdate(path: str) -> None:
    """Let ``path`` look a little older. Each Postfix program waits up to 2 s for a file just written to settle."""
    then = time.time() - SETTLED_SECONDS
    os.utime(path, (then, then))


def _is_transport_parameter(name: str) -> bool:
    """Tell parameters made from a transport name, such as smtp_destination_rate_delay: postconf -d lacks some."""
    return "_destination_" in name


def _logins(settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> Dict[str, Dict[str, str]]:
    """Return the tables with passwords: name -> next hop -> ``user:password``."""
    found: Dict[str, Dict[str, str]] = {}
    if settings["sasl"] is not None:
        login = _login(settings["sasl"]["username"], secrets.get("sasl_password"), "upstream.password")
        found[FIRST_LOGIN_MAP] = {settings["sasl"]["next_hop"]: login}
    for entry in settings.get("more_logins", []):
        passwords = secrets.get("upstream_passwords") or {}
        field = f"upstreams.{entry['password_of']}.password"
        login = _login(entry["username"], passwords.get(entry["password_of"]), field)
        found.setdefault(entry["map"], {})[entry["next_hop"]] = login
    return found


def _login(username: str, password: Optional[str], field: str) -> str:
    if not password:
        raise RenderError(f"the upstream wants a user name, but no password came: set {field}")
    if password != password.rstrip() or any(ord(character) < 32 for character in password):
        raise RenderError(f"{field} ends with a blank or has a line end in it; Postfix cannot keep that (postmap(1))")
    return f"{username}:{password}"
