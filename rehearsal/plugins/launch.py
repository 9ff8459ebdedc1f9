"""Puts the stand-ins where the engine finds plugins, unless the real ones are there."""

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

__all__ = ["LANGUAGE", "PLUGINS", "launchers", "plugin_in_use", "real_plugin"]

PLUGINS = ("command", "cloudflare", "docker", "kubernetes")
ROOT = Path(__file__).resolve().parents[2]
# Real ones that scripts/pulumi-*.sh build, for our own engine only: they are not on the user's PATH.
BUILT = ROOT / ".tools/plugins/bin"
# What the engine starts is an executable of this name on PATH; it hands over its own address.
LAUNCHER = """#!/bin/sh
PYTHONPATH={root} exec {python} -P -m {module} "$@"
"""
LANGUAGE = "pulumi-language-python"
# By its path: what stands in PYTHONPATH is the program's.
LANGUAGE_LAUNCHER = """#!/bin/sh
exec {python} -P {root}/rehearsal/plugins/language.py "$@"
"""


def launchers(folder: Path, instead: Mapping[str, str] | None = None, *, language: bool = False) -> Path:
    """Write an executable for each stand-in that is needed into ``folder`` and return it, to stand on PATH.

    ``instead`` maps a plugin to the module that takes its place, whatever else there is. Plugins that were built here
    are linked there too. ``language``: the language host is stood in for as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = folder / LANGUAGE
    host.unlink(missing_ok=True)
    if language:
        host.write_text(LANGUAGE_LAUNCHER.format(root=ROOT, python=sys.executable))
        host.chmod(0o755)
    chosen = instead or {}
    for plugin in PLUGINS:
        path = folder / f"pulumi-resource-{plugin}"
        path.unlink(missing_ok=True)  # it may be a link to a real one
        if plugin in chosen or real_plugin(plugin) is None:
            module = chosen.get(plugin, f"rehearsal.plugins.{plugin}")
            path.write_text(LAUNCHER.format(root=ROOT, python=sys.executable, module=module))
            path.chmod(0o755)
    for built in BUILT.glob("pulumi-resource-*"):
        plugin, path = built.name.removeprefix("pulumi-resource-"), folder / built.name
        if plugin not in chosen and real_plugin(plugin) == built:
            path.unlink(missing_ok=True)
            path.symlink_to(built)
    return folder


def plugin_in_use(plugin: str) -> str:
    """Say which plugin the engine will use: the real one and where it is, or the stand-in."""
    real = real_plugin(plugin)
    return f"plugin {plugin}: {f'real, {real}' if real else 'stand-in (rehearsal/plugins)'}"


def real_plugin(plugin: str) -> Path | None:
    """Return the real plugin: in the CLI's cache at the SDK's version, else on PATH, else built here."""
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    cached = home / "plugins" / f"resource-{plugin}-v{version(f'pulumi-{plugin}')}" / f"pulumi-resource-{plugin}"
    if cached.is_file():
        return cached
    if "PULUMI_IGNORE_AMBIENT_PLUGINS" in os.environ:
        return None
    found = shutil.which(f"pulumi-resource-{plugin}")
    built = BUILT / f"pulumi-resource-{plugin}"
    return Path(found) if found is not None else built if built.is_file() else None
