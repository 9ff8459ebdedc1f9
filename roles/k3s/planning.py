"""What differs between host and settings. Changes nothing."""

from typing import List, Optional, Tuple

from k3s import node, versions
from k3s.desired import Desired
from k3s.facts import Facts
from rolelib.files import differs
from rolelib.host import RoleError

__all__ = ["Step", "plan"]

# (step, what differs); steps are done in the order "resume", "program", "images", "files", "service".
Step = Tuple[str, str]


def plan(facts: Facts, wanted: Desired) -> List[Step]:
    """Return what has to be done. Raises RoleError for a version the node must not go to."""
    steps: List[Step] = []
    if facts.interrupted:
        steps.append(("resume", "an earlier run was cut off: its half of the change is taken back first"))
    if facts.sha256 == wanted.sha256 and facts.version != wanted.version:
        raise RoleError(
            "program",
            f"the SHA-256 declared for {wanted.version} is that of {facts.version}, which is here: copy the sum of the "
            "declared release",
        )
    if facts.sha256 != wanted.sha256:
        _check_step(facts, wanted)
        found = f"{facts.version} is here" if facts.version else "it is not here"
        if facts.version == wanted.version:
            found = f"what is here has another SHA-256 ({facts.sha256})"
        steps.append(("program", f"k3s {wanted.version}: {found}"))
    steps += [
        ("images", f"{path} is missing or has other content")
        for path, sha256 in facts.images.items()
        if sha256 not in {images.sha256 for images in wanted.images if images.path == path}
    ]
    steps += [("images", f"{path} is no longer declared") for path in facts.old_images]
    for file in wanted.files:
        difference = differs(file)
        if difference:
            steps.append(("files", difference))
    steps += [("files", f"{path} is no longer declared") for path in facts.stale]
    service = _service(facts, wanted)
    return [*steps, ("service", service)] if service else steps


def _check_step(facts: Facts, wanted: Desired) -> None:
    if facts.version is None or not facts.made or facts.interrupted:
        return  # nothing runs, or the half-done change is taken back before this is looked at again
    problem = versions.step_problem(facts.version, wanted.version)
    if problem:
        raise RoleError("version", problem)


def _service(facts: Facts, wanted: Desired) -> Optional[str]:
    if not facts.active:
        return f"{wanted.unit} does not run"
    if not facts.enabled:
        return f"{wanted.unit} does not start at boot"
    if facts.sha256 != wanted.sha256:
        return None  # told already; the new program comes with a new start
    wrong = node.trouble(facts.node, wanted.version)
    return None if wrong is None else f"{wanted.name}: {wrong}"
