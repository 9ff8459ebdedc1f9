"""From facts and settings to an ordered list of steps. Pure: nothing here looks at the host or changes it."""

from typing import Any, Dict, List

__all__ = ["expiry_warnings", "needs_restart", "plan"]

Step = Dict[str, str]
DAY_SECONDS = 86_400
# Caddy renews when a third of a certificate's life is left. Less than a quarter means that renewing fails.
LATE_RENEWAL = 0.25


def plan(facts: Dict[str, Any], settings: Dict[str, Any]) -> List[Step]:
    """Return the steps that make the host as declared, in order; empty where it is.

    ``facts``: ``leftover`` (an earlier run was cut off), ``version`` (None: not installed), ``other`` (the other
    placement still runs), ``files``, ``stale`` (pairs no longer declared), ``runtime``, ``sites``, ``smtp``: lists of
    faults in words. A step is ``{"kind", "what"}``.
    """
    steps: List[Step] = []
    if facts["leftover"]:
        steps.append(_step("resume", "an earlier run did not finish: back to the configuration before it"))
    if facts["version"] is None:
        source = settings["image"] if settings["placement"] == "container" else "package caddy"
        steps.append(_step("install", f"install Caddy ({source})"))
    if facts["other"]:
        steps.append(_step("placement", facts["other"]))
    steps += [_step("files", what) for what in facts["files"]]
    steps += [_step("files", f"{path} is no longer needed") for path in facts["stale"]]
    if facts["version"] is not None:
        steps += [_step("service", what) for what in facts["runtime"]]
        # A Caddy that is not running serves nothing: said once.
        steps += [_step("certificate", what) for what in (facts["sites"] if facts["active"] else [])]
    return steps + [_step("smtp", what) for what in facts["smtp"]]


def _step(kind: str, what: str) -> Step:
    return {"kind": kind, "what": what}


def needs_restart(facts: Dict[str, Any], changed_units: bool) -> bool:
    """Tell whether a reload is not enough: it does not run, or how it runs has changed."""
    return changed_units or not facts["active"] or bool(facts["runtime"]) or facts["version"] is None


def expiry_warnings(kind: str, names: Dict[str, Dict[str, Any]], warning_days: int, now: float) -> List[str]:
    """Say which served certificates are about to expire.

    ``names``: name to ``not_before`` and ``not_after`` in seconds. A custom one (``kind``) is reported
    ``warning_days`` before, one that Caddy renews by itself only when that is overdue.
    """
    warnings = []
    for name, dates in sorted(names.items()):
        left = dates["not_after"] - now
        limit = float(warning_days * DAY_SECONDS)
        if kind != "custom":
            limit = min(limit, (dates["not_after"] - dates["not_before"]) * LATE_RENEWAL)
        if left < limit:
            fix = "renew it and set the new one" if kind == "custom" else "Caddy should have renewed it: see its log"
            warnings.append(f"the certificate of {name} expires in {left / DAY_SECONDS:.1f} days: {fix}")
    return warnings
