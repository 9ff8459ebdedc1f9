"""Makes the previews that the comment of a pull request is tested on: the real engine's, of a stack without hosts.

    python -m tests.engine.preview_recordings

writes them anew into ``tests/unit/recorded_previews``. Each is the document of ``pulumi preview --json``; for one
there is the event log of the same run too. The stacks are the examples for production and, with a DNS server of its
own, staging; Cloudflare is the stand-in, hosts are those of ``tests.engine.dry_plugin``. What no reader looks at, such
as traces with folders of this machine, is left out.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import new_ssh_key
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.engine import Engine, EngineError

__all__ = ["FOLDER", "as_text", "record", "recording", "shape"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/unit/recorded_previews"
ZONE, ZONE_ID = "example.com", "0123456789abcdef0123456789abcdef"
# Of no use to a reader, and long, or of this machine.
LEFT_OUT = frozenset(
    {"config", "stackTrace", "sourcePosition", "propertyDependencies", "dependencies", "created", "modified", "outputs"}
)
UNREAD_EVENTS = frozenset({"resOutputsEvent", "policyRemediateSummaryEvent", "preludeEvent", "startDebuggingEvent"})
Json = dict[str, Any]


def recording(name: str) -> Json:
    """Return one of the recorded documents."""
    found: Json = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def record(folder: Path) -> Iterator[tuple[str, Json]]:
    """Yield (name, document) for each preview, on stacks in ``folder``."""
    with _stack(folder, "prod") as stack:
        raw = stack.raw
        yield "create", stack.preview(raw)
        stack.engine.up()
        yield "nothing", stack.preview(raw)
        yield "update", stack.preview(_updated(raw))
        yield "policies", stack.preview(_updated(raw), "--policy-pack", str(stack.pack))
        yield "policies-events", {"events": stack.events()}
        yield "replace", stack.preview(_moved(raw))
        yield "delete", stack.preview(_without_a_domain(raw))
        yield "failing", stack.preview(_mistaken(raw))
    with _stack(folder, "staging") as stack:
        stack.engine.up()
        yield "own-server", stack.preview(_stricter(stack.raw))


def as_text(document: Json) -> str:
    """Return a recording as it is kept."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def shape(document: Json) -> dict[str, list[str]]:
    """Return what a reader of the document relies on: which fields there are, for each kind of step and message."""
    found: dict[str, set[str]] = {"document": set(document) - {"config"}}
    for step in document.get("steps", ()):
        kind = f"{step['op']} {step['urn'].split('::')[2].rpartition('$')[2]}"
        states = {f"{state}.{key}" for state in ("oldState", "newState") for key in step.get(state, ())}
        found.setdefault(kind, set()).update({*step, *states})
    for event in document.get("events", ()):
        for kind, told in event.items():
            if isinstance(told, dict):
                found.setdefault(f"event {kind}", set()).update(told)
    for message in document.get("diagnostics", ()):
        found.setdefault(f"message {message['severity']}", set()).update(set(message) - {"urn"})
    return {kind: sorted(fields) for kind, fields in sorted(found.items())}


class _Stack:
    """An example, with the stand-in's Cloudflare; ``lines`` is what the last command printed."""

    def __init__(self, folder: Path, name: str, standin: CloudflareStandin) -> None:
        self.folder = folder = folder / name
        folder.mkdir()
        self.lines: list[str] = []
        self.log = folder / "events.json"
        self.engine = Engine(name, folder, self.lines.append, plugins={"command": "tests.engine.dry_plugin"})
        self.engine.environment |= {"CLOUDFLARE_BASE_URL": standin.api_url, "PULUMI_DEBUG_COMMANDS": "true"}
        self.raw = rehearsal_config(ROOT / f"Pulumi.{name}.yaml")
        if "cloudflare" in self.raw["dns"]:
            self.raw["dns"]["cloudflare"]["api_token"] = standin.config.token
        self.engine.configure(self.raw)
        self.engine.select()

        self.pack = folder / "policies"
        self.pack.write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m tests.engine.policy_standin "$@"\n'
        )
        self.pack.chmod(0o755)

    def preview(self, raw: Json, *arguments: str) -> Json:
        """Return the document of a preview of ``raw``; a preview that fails has one too."""
        self.engine.configure(raw)
        self.lines.clear()
        self.log.unlink(missing_ok=True)
        with suppress(EngineError):
            self.engine.preview("--json", "--event-log", str(self.log), *arguments)
        printed = [line.removeprefix("  ") for line in self.lines]
        document: Json = json.loads("\n".join(printed[printed.index("{") : printed.index("}") + 1]))
        cleaned: Json = _clean(document, self.folder)
        return cleaned

    def events(self) -> list[Json]:
        """Return the events of the last preview, without the SDK's debug lines and what a document tells too."""
        events = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [_clean(event, self.folder) for event in events if _is_news(event)]


def _is_news(event: Json) -> bool:
    """Tell whether the event says something that others do not: most of them say that nothing is wrong."""
    step = event.get("resourcePreEvent", {}).get("metadata", {})
    debug = event.get("diagnosticEvent", {}).get("severity") == "debug"
    passed = "policyAnalyzeSummaryEvent" in event and not event["policyAnalyzeSummaryEvent"].get("failed")
    return not (debug or passed or step.get("op") == "same" or UNREAD_EVENTS & event.keys())


@contextmanager
def _stack(folder: Path, name: str) -> Iterator[_Stack]:
    config = CloudflareStandinConfig(token="t" * 40, zones=(ZoneConfig(id=ZONE_ID, name=ZONE),))
    with CloudflareStandin(config) as standin:
        yield _Stack(folder, name, standin)


def _clean(value: Any, folder: Path) -> Any:
    """Return ``value`` without what no reader looks at, and without the folders of this machine."""
    if isinstance(value, dict):
        return {_clean(key, folder): _clean(entry, folder) for key, entry in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_clean(entry, folder) for entry in value]
    return value.replace(str(folder), "/opt/example") if isinstance(value, str) else value


def _updated(raw: Json) -> Json:
    """A longer queue, another newsletter service, a softer policy, one more domain, and another SSH key."""
    changed = copy.deepcopy(raw)
    changed["relay"]["queue_lifetime_hours"] = 72
    changed["domains"][0]["spf"] |= {"include": ["spf.newsletter.example"], "lookups": {"spf.newsletter.example": 1}}
    changed["domains"][0]["dmarc"]["policy"] = "quarantine"
    changed["ssh"]["private_key"] = new_ssh_key()[0]
    changed["domains"].append({"name": "shop.example.com", "dmarc": {"policy": "reject"}})
    return changed


def _moved(raw: Json) -> Json:
    """The relay's host has another name: what runs there is replaced."""
    changed = copy.deepcopy(raw)
    changed["hosts"] = {"relay2": changed["hosts"].pop("relay1")}
    changed["relay"]["host"] = "relay2"
    return changed


def _without_a_domain(raw: Json) -> Json:
    changed = copy.deepcopy(raw)
    changed["domains"] = [domain for domain in changed["domains"] if domain["name"] == ZONE]
    return changed


def _mistaken(raw: Json) -> Json:
    changed = copy.deepcopy(raw)
    changed["hosts"]["relay1"]["host_key"] = ""
    changed["relay"]["hostname"] = "localhost"
    return changed


def _stricter(raw: Json) -> Json:
    changed = copy.deepcopy(raw)
    changed["domains"][0]["dmarc"]["policy"] = "reject"
    return changed


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, document in record(Path(folder)):
            (FOLDER / f"{name}.json").write_text(as_text(document))
            sys.stdout.write(f"{name}: {len(document.get('steps', ()))} steps\n")


if __name__ == "__main__":
    main()
