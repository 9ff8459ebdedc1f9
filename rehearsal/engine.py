"""Runs ``__main__.py`` with a real Pulumi CLI on a file back end of its own, away from the user's stacks."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Engine", "EngineError", "find_cli"]

ROOT = Path(__file__).resolve().parent.parent


class EngineError(RuntimeError):
    """A Pulumi command failed; the text is the end of what it printed."""


def find_cli() -> str | None:
    """Return the Pulumi CLI on PATH, or None."""
    return shutil.which("pulumi")


class Engine:
    """One stack on a file back end in ``folder``. The passphrase lives beside it and is worth as little."""

    def __init__(self, stack: str, folder: Path, log: Callable[[str], None], *, project_folder: Path = ROOT) -> None:
        """Prepare the back end; nothing is started. ``project_folder`` holds Pulumi.yaml."""
        self.stack = stack
        self.folder = folder
        self.config_file = folder / f"Pulumi.{stack}.yaml"
        self._log = log
        self._project_folder = project_folder
        (folder / "state").mkdir(parents=True, exist_ok=True, mode=0o700)
        passphrase = folder / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_text(secrets.token_hex(16))
        self.environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": passphrase.read_text(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_HOME": str(_own_home(folder)),
        }
        self.environment.pop("SSH_AUTH_SOCK", None)  # the throw-away keys are the only ones to try
        shutil.copy(project_folder / "Pulumi.yaml", folder / "Pulumi.yaml")

    def configure(self, raw: Mapping[str, Any], project: str = "mailstack") -> None:
        """Write the stack's configuration (keys without prefix). Its secrets are throw-away ones, so in clear."""
        salt = {}
        if self.config_file.exists():  # keep what the engine added, or the state cannot be opened again
            before = yaml.safe_load(self.config_file.read_text()) or {}
            salt = {key: value for key, value in before.items() if key != "config"}
        document = {**salt, "config": {f"{project}:{key}": value for key, value in raw.items()}}
        self.config_file.touch(mode=0o600)
        self.config_file.write_text(yaml.safe_dump(document, sort_keys=False))

    def select(self) -> None:
        """Create the stack where it does not exist."""
        names = json.loads(self.run("stack", "ls", "--json", quiet=True) or "[]")
        if not any(entry["name"].rpartition("/")[2] == self.stack for entry in names):
            # It writes the salt of the passphrase into the stack file of the folder it runs in, whatever it is told:
            # run here, that is ``config_file``, not a file of the user's.
            self.run("stack", "init", self.stack, "--no-select", quiet=True, folder=self.folder)

    def up(self, *arguments: str) -> str:
        """Run ``pulumi up`` and return what it printed."""
        return self._with_config("up", "--yes", "--skip-preview", *arguments)

    def preview(self, *arguments: str) -> str:
        """Run ``pulumi preview`` and return what it printed."""
        return self._with_config("preview", *arguments)

    def destroy(self) -> str:
        """Run ``pulumi destroy`` and return what it printed."""
        return self._with_config("destroy", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        """Return the stack outputs, secrets in clear."""
        text = self.run("stack", "output", "--json", "--show-secrets", "--stack", self.stack, quiet=True)
        outputs: dict[str, Any] = json.loads(text)
        return outputs

    def _with_config(self, command: str, *arguments: str) -> str:
        return self.run(command, "--stack", self.stack, "--config-file", str(self.config_file), *arguments)

    def run(self, *arguments: str, quiet: bool = False, folder: Path | None = None) -> str:
        """Run the CLI in ``folder`` (default: the project's) and return what it printed.

        That is standard output and error in order, with ``quiet`` standard output only. Raises EngineError when it
        fails.
        """
        lines: list[str] = []
        with subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=folder or self._project_folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
            for line in process.stdout:
                lines.append(line)
                if not quiet:
                    self._log(f"  {line.rstrip()}")
            errors = process.stderr.read() if process.stderr is not None else ""
        if process.returncode != 0:
            text = ("".join(lines) + errors).strip()
            raise EngineError(f"pulumi {arguments[0]} failed with exit code {process.returncode}\n{text[-4000:]}")
        return "".join(lines)


def _own_home(folder: Path) -> Path:
    """Return a home of the CLI in ``folder``: own logins and workspaces, but the plugins that are already there."""
    cache = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    plugins = home / "plugins"
    if cache.is_dir() and not plugins.exists():
        plugins.unlink(missing_ok=True)  # a link to a cache that is gone
        plugins.symlink_to(cache.resolve())
    return home
