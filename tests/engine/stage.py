"""A stack on throw-away hosts, driven by the real engine, and the ways to look at what it did there."""

import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.endpoints import google_rule, with_hosts
from rehearsal.engine import Engine, EngineError
from rehearsal.google_standin import ReceivedMessage
from rehearsal.rehearse import Rehearsal

__all__ = ["PLANNED", "Run", "Stage", "WatchedProcesses"]

PLANNED = re.compile(r"^\s*(\+-|\+\+|--|[+~-])\s+\S+:\S+\s+(\S+) (create|update|replace|delete)\b", re.MULTILINE)
# " ~  command:remote:Command relay-postfix updated (3s) [diff: ~stdin]", as a terminal without colours shows it.
# Components are left out: what they show is the preview's business, and they touch nothing.
DONE = re.compile(
    r"^\s*(\+-|\+\+|--|[+~=-])\s+(?!mailstack:)\S+\s+(\S+) (created|updated|replaced|deleted|imported)\b", re.MULTILINE
)
ARRIVAL_SECONDS = 30
# Runs on the relay host, as an application there would.
SUBMIT = """
import smtplib, sys
sender, subject = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
    text = "From: <%s>\\r\\nSubject: %s\\r\\n\\r\\nx\\r\\n" % (sender, subject)
    smtp.sendmail(sender, ["someone@recipient.test"], text)
"""
# Runs on the host. Standard input: one secret a line. Looks at all processes until the file given appears, then
# prints what it saw: which secrets showed up where, and the modules Python was started with.
WATCH = """
import json, os, sys, time
secrets = [line.strip().encode() for line in sys.stdin if line.strip()]
seen, modules = set(), set()
while not os.path.exists(sys.argv[1]):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for what in ("cmdline", "environ"):
            try:
                with open("/proc/%s/%s" % (pid, what), "rb") as handle:
                    content = handle.read()
            except OSError:
                continue
            seen.update("%s of %s" % (what, content[:80]) for secret in secrets if secret in content)
            parts = content.split(b"\\0")
            if what == "cmdline" and b"-m" in parts[:-1]:
                modules.add(parts[parts.index(b"-m") + 1].decode())
    time.sleep(0.01)
print(json.dumps({"secrets": sorted(seen), "modules": sorted(modules)}))
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one command of the CLI printed, its exit code, and what it did: name of a resource to created, updated.

    ``planned`` is what a preview would do: name to create, update.
    """

    text: str
    code: int
    changes: Mapping[str, str]
    planned: Mapping[str, str]


@dataclass(kw_only=True)
class WatchedProcesses:
    """Filled when the watch ends."""

    secrets: list[str]
    modules: list[str]


class Stage:
    """One stack; ``declared`` is its configuration as the tests expect to find it, with the throw-away hosts."""

    def __init__(self, rehearsal: Rehearsal, engine: Engine, lines: list[str]) -> None:
        """``lines`` is where the engine's log goes."""
        self.rehearsal = rehearsal
        self.engine = engine
        self.ground = rehearsal.ground
        self.deployed = False
        self.first_preview: Run | None = None
        self.first_up: Run | None = None
        self.logged_by_preview: dict[str, str] = {}
        self.logged_by_up: dict[str, str] = {}
        self._lines = lines
        engine.configure({})
        engine.select()
        self.pristine = {name: self.files(name) for name in rehearsal.hosts}

    @property
    def declared(self) -> dict[str, Any]:
        """The configuration with the hosts of this moment."""
        return self.rehearsal.raw

    def replace_host(self, name: str, host: Any) -> None:
        """From now on ``host`` is the machine behind the logical name."""
        self.rehearsal.hosts[name] = host
        self.rehearsal.raw = with_hosts(self.rehearsal.raw, {name: host})
        self.pristine[name] = self.files(name)

    def bring_up(self) -> None:
        """Preview and bring the stack up from nothing; the first time, keep what was seen."""
        self.rehearsal.google.reset()
        logs = [self.ssh_logs()]
        preview = self.preview()
        logs.append(self.ssh_logs())
        up = self.up()
        logs.append(self.ssh_logs())
        assert up.code == 0, up.text
        self.deployed = True
        if self.first_up is None:
            self.first_preview, self.first_up = preview, up
            self.logged_by_preview = {name: text.removeprefix(logs[0][name]) for name, text in logs[1].items()}
            self.logged_by_up = {name: text.removeprefix(logs[1][name]) for name, text in logs[2].items()}

    # -- the engine ---------------------------------------------------------------------------------------

    def run(self, command: str, *arguments: str) -> Run:
        """Run one command on the stack with the configuration as it is; a failure is a result, not an exception."""
        self._lines.clear()
        code = 0
        try:
            self.engine.run(
                command, "--stack", self.engine.stack, "--config-file", str(self.engine.config_file), *arguments
            )
        except EngineError as error:
            code = int(re.findall(r"exit code (\d+)", str(error))[0])
        text = "\n".join(self._lines)
        return Run(
            text=text,
            code=code,
            changes={name: what for _, name, what in DONE.findall(text)},
            planned={name: what for _, name, what in PLANNED.findall(text)},
        )

    def configure(self, raw: Mapping[str, Any]) -> None:
        """Write ``raw``; the engine's folder gets its secrets encrypted."""
        self.engine.configure(raw)

    def up(self, raw: Mapping[str, Any] | None = None) -> Run:
        """Run ``pulumi up`` with ``raw``, or with what is declared."""
        self.configure(self.declared if raw is None else raw)
        return self.run("up", "--yes", "--skip-preview")

    def preview(self, raw: Mapping[str, Any] | None = None, *arguments: str) -> Run:
        """Run ``pulumi preview`` with ``raw``, or with what is declared."""
        self.configure(self.declared if raw is None else raw)
        return self.run("preview", *arguments)

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Bring the declared configuration back at the end, whatever happened."""
        try:
            yield
        finally:
            assert self.up().code == 0

    def exported(self) -> str:
        """Return the stack's state as `pulumi stack export` prints it."""
        return self.engine.run("stack", "export", "--stack", self.engine.stack, quiet=True)

    def state_files(self) -> Iterator[tuple[Path, bytes]]:
        """Yield every file the engine keeps: state, history, backups, configuration."""
        for path in self.engine.folder.rglob("*"):
            if path.is_file() and "plugins" not in path.parts and path.name != "passphrase":
                yield path, path.read_bytes()

    # -- the hosts ----------------------------------------------------------------------------------------

    def on(self, name: str, *argv: str, stdin: str | None = None) -> str:
        """Run a command on the host, past SSH, and return its standard output; its exit code does not matter."""
        return self.ground.exec(self.rehearsal.hosts[name], argv, input=stdin, check=False).stdout

    def ssh_log(self, name: str) -> str:
        """Return everything sshd has logged; a connection that fails before its login leaves a line too."""
        self.on(name, "journalctl", "--sync")
        # Not --unit: by the time the journal looks, a login may belong to the unit of its session.
        return self.on(name, "journalctl", "--identifier", "sshd", "--output", "cat", "--no-pager")

    def ssh_logs(self) -> dict[str, str]:
        """Return the log of sshd of every host."""
        return {name: self.ssh_log(name) for name in self.rehearsal.hosts}

    # -- mail ---------------------------------------------------------------------------------------------

    def enter_rule(self, *, domains: Sequence[str] = ("mailstack.test",), login: tuple[str, str] | None = None) -> None:
        """Do what an administrator does in the console; without arguments, what the stack declares."""
        rule = google_rule(
            domains=list(domains),
            allowed_ips=[f"{self.rehearsal.hosts['mail1'].address}/32"],
            allowed_senders="domain-addresses",
            require_tls=True,
            login=login,
            require_smtp_auth=False,
        )
        self.rehearsal.google.put_rule(rule)

    def submit(self, sender: str) -> str:
        """Hand a message to the relay; return its subject."""
        subject = f"engine-{secrets.token_hex(8)}"
        argv = ["python3", "-c", SUBMIT, sender, subject]
        self.ground.exec(self.rehearsal.hosts["mail1"], argv)
        return subject

    def deliver(self, sender: str) -> ReceivedMessage:
        """Hand a message to the relay and return it as it arrived at the upstream."""
        subject = self.submit(sender)
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < deadline:
            for message in self.rehearsal.google.messages():
                if message.header("Subject") == subject:
                    return message
            time.sleep(0.1)
        raise AssertionError(f"nothing arrived in {ARRIVAL_SECONDS} s: {self.on('mail1', 'postqueue', '-p')}")

    def wait_for_queue(self, *, empty: bool = False) -> None:
        """Wait until the relay has tried what it holds and keeps it (or, with ``empty``, holds nothing)."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < deadline:
            queue = self.on("mail1", "postqueue", "-j")
            if (not queue.strip()) if empty else '"deferred"' in queue:
                return
            time.sleep(0.1)
        raise AssertionError(f"the queue did not change in {ARRIVAL_SECONDS} s: {queue}")

    # -- files and processes ------------------------------------------------------------------------------

    def files(self, name: str) -> set[str]:
        """Return the paths of everything on the host's disk."""
        return set(self.on(name, "find", "/", "-xdev", "-not", "-path", "/proc/*").splitlines())

    def files_with(self, name: str, needles: Iterable[str]) -> list[str]:
        """Return the files on the host, memory file systems included, that hold one of ``needles``."""
        places = ["/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"]  # noqa: S108
        patterns = "\n".join(needles)
        found = self.on(name, "grep", "-rlaF", "-D", "skip", "-f", "-", *places, stdin=patterns)
        return sorted(found.splitlines())

    @contextmanager
    def watch_processes(self, name: str, needles: Iterable[str]) -> Iterator[WatchedProcesses]:
        """Look at all processes of the host for ``needles`` while the block runs."""
        stop = "/run/stop-watching"
        self.on(name, "rm", "-f", stop)
        found = WatchedProcesses(secrets=[], modules=[])
        printed: list[str] = []
        argv = ["python3", "-c", WATCH, stop]
        watcher = threading.Thread(target=lambda: printed.append(self.on(name, *argv, stdin="\n".join(needles))))
        watcher.start()
        try:
            yield found
        finally:
            self.on(name, "touch", stop)
            watcher.join()
            self.on(name, "rm", "-f", stop)
        seen = json.loads(printed[0])
        found.secrets, found.modules = seen["secrets"], seen["modules"]
