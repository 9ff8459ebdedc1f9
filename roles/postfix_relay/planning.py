"""From facts and settings to an ordered list of steps. Pure: nothing here looks at the host or changes it."""

import os
from typing import Any, Dict, List

from mailstack.postfix.files import RESTART_PARAMETERS
from mailstack.postfix.render import differences, parse_main_cf, parse_master_cf
from postfix_relay import monitoring, paths
from postfix_relay.desired import Desired, desired, digest, platform_row
from postfix_relay.submission import PACKAGES

__all__ = ["OURS_ALONE", "RESTART_PARAMETERS", "needs_restart", "plan", "wanted_packages"]

Step = Dict[str, Any]
# Whatever else is in these is not needed any more.
OURS_ALONE = (paths.MAPS_DIRECTORY + "/", paths.AUTH_DIRECTORY + "/")


def wanted_packages(settings: Dict[str, Any], family: str) -> List[str]:
    """Return the packages the relay needs on this family of systems."""
    platform = platform_row(family)
    packages = list(platform.packages) + (list(platform.sasl_packages) if _logs_in(settings) else [])
    return packages + ([PACKAGES[family]] if settings.get("submission") else [])


def _logs_in(settings: Dict[str, Any]) -> bool:
    return settings["sasl"] is not None or bool(settings.get("more_logins"))


def plan(facts: Dict[str, Any], settings: Dict[str, Any], secrets: Dict[str, Any]) -> List[Step]:
    """Return the steps that make the host as declared, in order; empty where it is.

    A step is ``{"kind", "what"}``, ``what`` for people; kinds: resume, install, selinux, log, files, service,
    metrics.
    """
    steps: List[Step] = []
    if facts["pending"]:
        steps.append(_step("resume", "an earlier run did not finish: back to the configuration before it"))
    missing = [name for name in wanted_packages(settings, facts["family"]) if name not in facts["packages"]]
    if missing:
        steps.append(dict(_step("install", _install_text(facts, missing)), packages=missing))
    if facts["selinux_ports"]:
        ports = ", ".join(str(port) for port in facts["selinux_ports"])
        steps.append(dict(_step("selinux", f"label port {ports} as a mail port"), ports=facts["selinux_ports"]))
    row = platform_row(facts["family"])
    if facts["log_directory"] != {"mode": 0o755, "owner": row.log_owner} and "postfix" in facts["packages"]:
        directory = os.path.dirname(row.log_file)
        steps.append(_step("log", f"directory {directory}: make it, owned by {row.log_owner}, mode 0755"))
    if facts["postfix"] is None:
        steps.append(_step("files", "write the configuration and start Postfix with it"))
        return steps + monitoring.steps(facts, settings)
    wanted = desired(settings, secrets, facts)
    steps += [_step("files", text) for text in _file_changes(facts, wanted)]
    steps += [_step("service", text) for text in _service_changes(facts, settings)]
    return steps + monitoring.steps(facts, settings)


def _step(kind: str, what: str) -> Step:
    return {"kind": kind, "what": what}


def _install_text(facts: Dict[str, Any], missing: List[str]) -> str:
    text = f"install {', '.join(missing)}"
    competitors = [name for name in platform_row(facts["family"]).competitors if name in facts["packages"]]
    if competitors and "postfix" in missing:
        text += f"; Postfix takes the place of {', '.join(competitors)}"
    return text


def _file_changes(facts: Dict[str, Any], wanted: Desired) -> List[str]:
    changes = []
    for path, file in sorted(wanted.files.items()):
        now = facts["files"].get(path)
        if now is None:
            changes.append(f"{path} is missing")
        elif now["sha256"] != digest(file.content):
            changes.append(f"{path}: {_content_change(path, now['text'], file.content)}")
        elif now["mode"] != file.mode:
            changes.append(f"{path} has mode {now['mode']:04o}, not {file.mode:04o}")
        elif now["owner"] != f"{file.owner}:{file.group}":
            changes.append(f"{path} is owned by {now['owner']}, not {file.owner}:{file.group}")
    compiled = {wanted.compiled(source): source for source in wanted.indexed}
    for path, source in sorted(compiled.items()):
        if path == source:  # this build reads the source itself
            continue
        now, recorded = facts["files"].get(path), facts["recorded"].get(path)
        if now is None:
            changes.append(f"{path} is missing")
        elif recorded is None or now["sha256"] != recorded["sha256"]:
            changes.append(f"{path} is not what was compiled from {source}")
        elif now["mode"] != wanted.files[source].mode or now["owner"] != "root:root":
            changes.append(f"{path} has mode {now['mode']:04o} and owner {now['owner']}")
    for path in sorted(facts["files"]):
        known = path in wanted.files or path in compiled
        if facts["files"][path] is not None and not known and path.startswith(OURS_ALONE):
            changes.append(f"{path} is no longer needed")
    return changes


def _content_change(path: str, now: Any, content: str) -> str:
    if now is None or path not in (paths.MAIN_CF, paths.MASTER_CF):  # a map may hold the password
        return "content differs"
    parse = parse_main_cf if path == paths.MAIN_CF else parse_master_cf
    return "; ".join(differences(parse(now), parse(content))) or "comments or layout differ"


def _service_changes(facts: Dict[str, Any], settings: Dict[str, Any]) -> List[str]:
    changes = []
    service = facts["service"]
    if service["masked"]:
        changes.append("service postfix is masked")
    elif not service["enabled"]:
        changes.append("service postfix does not start at boot")
    if not service["active"]:
        changes.append("service postfix is not running")
        return changes + _timer_change(facts)
    for address, port in settings["listen"]:
        answer = facts["answers"][f"{address} {port}"]
        expected = f"220 {settings['hostname']}"
        if answer != expected:
            changes.append(f"{address} port {port} says {answer!r}, not {expected!r}")
    if settings.get("submission") and not facts.get("submission_active"):
        changes.append("the service that checks passwords of submission is not running")
    if not facts["queue_manager"]:
        changes.append("the queue manager (qmgr) is not running")
    if not changes and _older_than_files(facts):
        changes.append("Postfix was not reloaded after the last change of its files")
    return changes + _timer_change(facts)


def _timer_change(facts: Dict[str, Any]) -> List[str]:
    return [] if facts["log_timer"] else [f"{paths.LOG_TIMER} is not running"]


def _older_than_files(facts: Dict[str, Any]) -> bool:
    """Tell whether a file changed (and changed back) since the verified reload, and no start came after it."""
    for path, recorded in facts["recorded"].items():
        now = facts["files"].get(path)
        # The kernel sets ctime at every change, nothing can set it back.
        if now is not None and path.startswith(paths.CONFIG_DIRECTORY) and now["ctime"] != recorded["ctime"]:
            return facts["master_started"] is None or now["ctime"] > facts["master_started"]
    return False


def needs_restart(facts: Dict[str, Any], wanted: Desired) -> bool:
    """Tell whether a reload is not enough: not running, or a setting changes that is read only at the start."""
    now = facts["files"].get(paths.MAIN_CF)
    if not facts["service"]["active"] or not facts["queue_manager"] or now is None or now["text"] is None:
        return True
    old, new = parse_main_cf(now["text"]), parse_main_cf(wanted.files[paths.MAIN_CF].content)
    return any(old.get(name) != new.get(name) for name in RESTART_PARAMETERS)
