"""The configuration that Postfix runs by (``postconf -n``), and where it differs from what is declared."""

import os
import shutil
import tempfile
from typing import Any, Dict

from mailstack.postfix.files import backdate, parameters_of, postfix_files
from mailstack.postfix.platforms import PlatformError, platform_of, reference_values
from mailstack.postfix.render import RenderError
from rolelib.commands import run
from rolelib.host import RoleError, os_release
from rolelib.protocol import Plan, Role

__all__ = ["look"]

COMMENT = ("What is declared, to compare with.", "What is declared, to compare with.")


def look(role: Role) -> Plan:
    """Tell the effective main.cf, and with ``declared`` (``relay.role_settings``) each parameter that differs.

    ``log_file`` is where the log goes when that is not the platform's own (a container's). No secret is needed: a
    password stands in a look-up table, never in main.cf.
    """
    effective = parameters_of(run(["postconf", "-n"]).out)
    role.facts["version"] = run(["postconf", "-h", "mail_version"]).out.strip()
    role.facts["configuration"] = effective
    declared = role.settings.get("declared")
    if declared is None:
        return []
    wanted = _declared(declared, role.settings.get("log_file"))
    role.facts["differences"] = [
        {"parameter": name, "declared": wanted.get(name), "effective": effective.get(name)}
        for name in sorted(set(wanted) | set(effective))
        if wanted.get(name) != effective.get(name)
    ]
    return []


def _declared(settings: Dict[str, Any], log_file: Any) -> Dict[str, str]:
    """Have this build read what would be written, so that both are in its own words."""
    try:
        platform = platform_of(os_release())
    except PlatformError as error:
        raise RoleError("configuration", str(error)) from None
    if log_file:
        platform = platform._replace(log_file=str(log_file))
    directory = tempfile.mkdtemp(prefix="mailstack-")
    try:
        _write(directory, "main.cf", "")
        defaults = parameters_of(run(["postconf", "-c", directory, "-d"]).out)
        references = reference_values(platform, defaults, run(["postconf", "-c", directory, "-m"]).out.split())
        # Without its logins: their tables hold the passwords.
        made = postfix_files(dict(settings, sasl=None, more_logins=[]), {}, references, defaults, COMMENT)
        for file in made.files:
            if file.name in ("main.cf", "master.cf"):
                _write(directory, file.name, file.text)
        text = run(["postconf", "-c", directory, "-n"]).out
    except RenderError as error:
        raise RoleError("configuration", str(error)) from None
    finally:
        shutil.rmtree(directory)
    found = parameters_of(text)
    found.pop("config_directory", None)  # said only because it is not the usual one
    return found


def _write(directory: str, name: str, text: str) -> None:
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    backdate(path)
