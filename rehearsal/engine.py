"""Runs ``__main__.py`` with the real Pulumi engine on a file back end of its own, away from the user's stacks.

Two ways to the same engine. A full installation runs the program through its language host, as every user does. The CLI
that ``make engine`` builds has none: there the program runs in a process of ours, which the engine calls back
(``inline_host``). Plugins that cannot be had are stood in for (``plugins``).
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rehearsal.plugins import LANGUAGE, launchers
from rehearsal.sealing import Sealer

__all__ = ["Cli", "Engine", "EngineError", "find_cli"]

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".tools/engine/bin/pulumi"
SHOWN_CHARACTERS = 4000
# Commands that run the program, and so need to know where it is.
WITH_PROGRAM = frozenset({"up", "preview", "destroy", "refresh"})


class EngineError(RuntimeError):
    """A Pulumi command failed; the text is the end of its reasons."""


@dataclass(frozen=True, kw_only=True)
class Cli:
    """A Pulumi CLI; ``inline`` where it has no language host."""

    path: Path
    inline: bool

    def __str__(self) -> str:
        """Name it, for people."""
        return f"{self.path}{' (built by make engine; the program runs inline)' if self.inline else ''}"


def find_cli() -> Cli | None:
    """Return the engine to use: an installed one, else the one that ``make engine`` built, else None."""
    found = shutil.which("pulumi")
    if found is not None:
        beside = Path(found).resolve().parent / LANGUAGE
        if beside.is_file() or shutil.which(LANGUAGE):
            return Cli(path=Path(found), inline=False)
    return Cli(path=BUILT, inline=True) if BUILT.is_file() else None


class Engine:
    """One stack on a file back end in ``folder``. The passphrase lives beside it and is worth as little."""

    def __init__(
        self,
        stack: str,
        folder: Path,
        log: Callable[[str], None],
        *,
        project_folder: Path = ROOT,
        plugins: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare the back end; nothing is started. ``project_folder`` holds Pulumi.yaml and the program.

        ``plugins`` maps a plugin to a module that takes its place. Raises EngineError where there is no CLI.
        """
        cli = find_cli()
        if cli is None:
            raise EngineError("there is no Pulumi CLI: scripts/install-pulumi.sh installs it, `make engine` builds it")
        self.cli = cli
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
        self._sealer: Sealer | None = None
        stand_ins = launchers(folder / "plugins", plugins, language=cli.inline)
        self.environment = {
            **os.environ,
            "PATH": f"{stand_ins}:{cli.path.parent}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": passphrase.read_text(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_HOME": str(_own_home(folder)),
            # Nobody outside is asked what a real zone of this name holds.
            "MAILSTACK_RESOLVERS": "",
            # Commands of a second: tidying up what they allocate is a third of their work.
            "GOGC": "off",
            "GOMEMLIMIT": "1GiB",
        }
        self.environment.pop("SSH_AUTH_SOCK", None)  # the throw-away keys are the only ones to try
        shutil.copy(project_folder / "Pulumi.yaml", folder / "Pulumi.yaml")

    def configure(self, raw: Mapping[str, Any], project: str = "mailstack") -> None:
        """Write the stack's configuration (keys without prefix), its secrets encrypted."""
        if self._sealer is None:
            self._sealer = Sealer(self.environment["PULUMI_CONFIG_PASSPHRASE"])
        sealed = self._sealer.seal(dict(raw))
        document = {
            "encryptionsalt": self._sealer.salt,
            "config": {f"{project}:{key}": value for key, value in sealed.items()},
        }
        self.config_file.touch(mode=0o600)
        self.config_file.write_text(
            yaml.dump(document, sort_keys=False, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
        )

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
        if self.cli.inline and arguments[0] in WITH_PROGRAM:
            with self._program() as address:
                return self._run([*arguments, "--exec-kind", "auto.inline", f"--client={address}"], quiet, folder)
        return self._run(list(arguments), quiet, folder)

    def _run(self, arguments: list[str], quiet: bool, folder: Path | None) -> str:
        lines: list[str] = []
        with subprocess.Popen(
            [str(self.cli.path), *arguments, "--non-interactive", "--color", "never"],
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
            text = _reasons(("".join(lines) + errors).strip())
            raise EngineError(f"pulumi {arguments[0]} failed with exit code {process.returncode}\n{text}")
        return "".join(lines)

    @contextmanager
    def _program(self) -> Iterator[str]:
        """Serve the program while a command runs; yield its address."""
        environment = {**self.environment, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-m", "rehearsal.inline_host", str(self._project_folder)],
            cwd=self._project_folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as host:
            try:
                assert host.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
                port = host.stdout.readline().strip()
                if not port:
                    raise EngineError("the process that serves the program did not start")
                yield f"127.0.0.1:{port}"
            finally:
                host.terminate()


def _reasons(text: str) -> str:
    """Return what the engine gives as reasons, without the outputs it lists after them; else the end of the text."""
    _, heading, told = text.partition("\nDiagnostics:\n")
    return (told.partition("\nOutputs:\n")[0] if heading else text)[-SHOWN_CHARACTERS:]


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
