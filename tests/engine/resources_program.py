"""The program of the plugins' contract tests: registers what ``resources.json`` beside it declares.

Each entry is ``{"type", "name", "inputs", "options"}``. ``{"secret": x}`` inside inputs becomes a secret,
``{"stdout_of": x}`` what the command of an entry above prints. ``options`` are those of ``pulumi.ResourceOptions``;
``provider`` names an entry above.
"""

import json
from pathlib import Path
from typing import Any

import pulumi

made: dict[str, pulumi.CustomResource] = {}


def opened(value: Any) -> Any:
    """Return ``value`` with marked secrets made secrets."""
    if isinstance(value, dict):
        if set(value) == {"secret"}:
            return pulumi.Output.secret(value["secret"])
        if set(value) == {"stdout_of"}:
            return pulumi.get(made[value["stdout_of"]], "stdout")
        return {key: opened(item) for key, item in value.items()}
    return [opened(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    providers: dict[str, pulumi.ProviderResource] = {}
    for entry in json.loads((Path(__file__).parent / "resources.json").read_text()):
        name, kind, inputs = entry["name"], entry["type"], opened(entry["inputs"])
        options = dict(entry.get("options", {}))
        if kind.startswith("pulumi:providers:"):
            package = kind.rpartition(":")[2]
            providers[name] = pulumi.ProviderResource(package, name, inputs, pulumi.ResourceOptions(**options))
            continue
        if "provider" in options:
            options["provider"] = providers[options["provider"]]
        if kind.startswith("command:"):
            inputs["stdout"] = None  # so that the SDK keeps it as an output
        made[name] = pulumi.CustomResource(kind, name, inputs, pulumi.ResourceOptions(**options))
        pulumi.export(f"{name}-id", made[name].id)


if __name__ == "__main__":
    main()
