"""Is this machine ready to run the stack: programs and their versions, the engine's parts, secrets, settings, clock.

Nothing is changed anywhere. A check that cannot be made is unknown, and says why.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from mailstack.dns.cloudflare import TOKEN_RIGHTS
from mailstack.plan import Plan, load_plan
from mailstack.plan.outside import Outside
from mailstack.reach.cloudflare import CLOUDFLARE_API, CloudflareApi, CloudflareError
from mailstack.reach.drift import decrypted_config
from mailstack.settings.config_size import LIMIT_BYTES, config_bytes
from mailstack.settings.initialise import missing_secrets, rehearsal_config
from mailstack.settings.problems import SettingsError
from mailstack.settings.refusals import way_out
from mailstack.settings.stackfile import StackFileError, is_example, read_stack_file, stack_of, throwaway
from mailstack.settings.written import Written

__all__ = ["Check", "Machine", "State", "examine"]

State = Literal["ok", "warn", "fail", "unknown"]
INSTALL = "scripts/install-pulumi.sh installs it"
OLDEST_PYTHON = (3, 11)
SECONDS = 60.0
API_SECONDS = 15.0
# Who uses them: the engine's plugins, by the SDK that needs the very same version.
PLUGINS = ("command", "cloudflare", "docker", "kubernetes")
REFUSED = re.compile(r"answered 4\d\d")
NEAR_LIMIT = 0.8
SHOWN_CHARACTERS = 120


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found of one thing, and how to mend it where it is not right."""

    name: str
    state: State
    found: str
    fix: str = ""


def _run(*argv: str) -> tuple[int, str, str]:
    """Run a program; a missing one is 127, one that cannot be run 126, one that does not end 124, as in a shell."""
    try:
        done = subprocess.run(
            argv, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=SECONDS
        )
    except FileNotFoundError:
        return 127, "", f"{argv[0]} is not on PATH"
    except OSError as error:  # such as that of a release for another processor
        return 126, "", f"{argv[0]} cannot be run here: {error.strerror}"
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]} did not end within {SECONDS:.0f} s"
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine, as the checks see it. ``opened`` opens a stack's secrets; ``folder`` is that of the
    stack files, ``source`` the project's where that is another.
    """

    folder: Path
    today: date
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    source: Path | None = None
    which: Callable[[str], str | None] = shutil.which
    run: Callable[..., tuple[int, str, str]] = _run
    opened: Callable[[str, Path], Mapping[str, Any]] = decrypted_config
    version_of: Callable[[str], str] = metadata.version
    python: tuple[int, ...] = tuple(sys.version_info[:3])
    cloudflare_url: str = CLOUDFLARE_API


def examine(machine: Machine, stack: str | None) -> Iterator[Check]:
    """Yield every check as it is made; without a stack those of the tool chain alone."""
    yield _python(machine)
    yield from _pulumi(machine)
    yield from _programs(machine)
    yield _clock(machine)
    if stack is None:
        return
    path = machine.folder / f"Pulumi.{stack}.yaml"
    plan, checks = _stack_file(machine, path)
    yield from checks
    if plan is None:
        return
    yield from _where_needed(machine, plan, stack)
    if machine.which("pulumi") is None:
        yield Check(
            name="state back end, secrets", state="unknown", found="the Pulumi CLI, which reads them, is missing"
        )
        return
    yield from _plugins(machine, plan)
    yield _back_end(machine, stack)
    yield from _secrets(machine, stack, path, plan)


def _python(machine: Machine) -> Check:
    version = ".".join(map(str, machine.python))
    if machine.python[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Check(name="Python", state="fail", found=version, fix=f"use {oldest} or newer, then run `make setup`")
    return Check(name="Python", state="ok", found=version)


# --- the engine -----------------------------------------------------------------------------------------------------


def _pulumi(machine: Machine) -> Iterator[Check]:
    found = machine.which("pulumi")
    if found is None:
        yield Check(name="Pulumi CLI", state="fail", found="not on PATH", fix=INSTALL)
        return
    code, out, err = machine.run("pulumi", "version")
    if code != 0:
        said = (err or out).strip().splitlines() or [f"`pulumi version` ended with {code}"]
        yield Check(name="Pulumi CLI", state="fail", found=said[-1], fix=INSTALL)
    else:
        yield _version(machine, out.strip())
    beside = Path(found).resolve().parent / "pulumi-language-python"
    if beside.is_file() or machine.which("pulumi-language-python"):
        yield Check(name="language host", state="ok", found="pulumi-language-python")
    else:
        yield Check(
            name="language host",
            state="fail",
            found="pulumi-language-python is neither beside the CLI nor on PATH",
            fix=f"the engine starts programs by it: {INSTALL}, with the CLI",
        )


def _version(machine: Machine, said: str) -> Check:
    """Compare with the release the project is tried with, and with the SDK: both sides speak one major version."""
    name = "Pulumi CLI"
    sdk = machine.version_of("pulumi")
    parts = _numbers(said)
    if not parts:
        return Check(name=name, state="unknown", found=f"its version is not understood: {said!r}", fix=INSTALL)
    if parts[0] != _numbers(sdk)[0]:
        return Check(name=name, state="fail", found=f"{said}, and the SDK is {sdk}", fix=INSTALL)
    script = (machine.source or machine.folder) / "scripts/install-pulumi.sh"
    pinned = re.search(r"^readonly PULUMI_VERSION=(\S+)$", script.read_text(), re.MULTILINE)
    if pinned is not None and parts < _numbers(pinned[1]):
        return Check(name=name, state="warn", found=f"{said}, older than the pinned {pinned[1]}", fix=INSTALL)
    return Check(name=name, state="ok", found=f"{said}, SDK {sdk}")


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def _plugins(machine: Machine, plan: Plan) -> Iterator[Check]:
    """Yield the plugins this stack uses: the engine takes only the very version of the SDK."""
    used = {
        "command": any(True for _ in plan.runs()),
        "cloudflare": plan.dns.cloudflare is not None,
        "docker": plan.relay.docker is not None,
        "kubernetes": plan.relay.kubernetes is not None or (plan.postal is not None and plan.postal.run is None),
    }
    code, out, err = machine.run("pulumi", "plugin", "ls", "--json")
    try:
        there = {(one["name"], one["version"]) for one in json.loads(out)} if code == 0 else None
    except (ValueError, LookupError, TypeError):
        there = None
    for plugin in (plugin for plugin in PLUGINS if used[plugin]):
        name, wanted = f"plugin {plugin}", machine.version_of(f"pulumi-{plugin}")
        if there is None:
            yield Check(name=name, state="unknown", found=f"the CLI lists no plugins: {err.strip() or out.strip()}")
        elif (plugin, wanted) in there or machine.which(f"pulumi-resource-{plugin}") is not None:
            yield Check(name=name, state="ok", found=wanted)
        else:
            yield Check(
                name=name,
                state="warn",
                found=f"{wanted} is not installed: the engine downloads it at the first preview",
                fix=f"where it may download nothing: pulumi plugin install resource {plugin} {wanted}",
            )


def _back_end(machine: Machine, stack: str) -> Check:
    name = "state back end"
    code, out, err = machine.run("pulumi", "stack", "ls", "--json", "--project", "mailstack", "--non-interactive")
    if code != 0:
        reason = (err or out).strip().splitlines()
        return Check(
            name=name,
            state="fail",
            found=reason[-1] if reason else "no answer",
            fix="log in: `pulumi login file://DIRECTORY`, a bucket's URL, or PULUMI_BACKEND_URL",
        )
    try:
        names = {str(one["name"]).rpartition("/")[2] for one in json.loads(out or "[]")}
    except (ValueError, LookupError, TypeError):
        return Check(name=name, state="unknown", found="its list of stacks is not understood")
    if stack in names:
        return Check(name=name, state="ok", found=f"has stack {stack}")
    return Check(
        name=name,
        state="warn",
        found=f"answers, and has no stack {stack}",
        fix=f"log in where it is (`pulumi whoami -v` says where you are); `pulumi stack init {stack}` makes a new one",
    )


# --- programs -------------------------------------------------------------------------------------------------------


def _programs(machine: Machine) -> Iterator[Check]:
    for program, why in (
        ("ssh", "hosts are reached by it: install the OpenSSH client"),
        ("ssh-keyscan", "`mailstack init` reads host keys by it: install the OpenSSH client"),
        ("ssh-keygen", "`mailstack init` makes SSH keys by it: install the OpenSSH client"),
        ("openssl", "`mailstack init` makes DKIM keys by it: install openssl"),
        ("git", "stack files are kept with it: install git"),
    ):
        yield _program(machine, program, why)


def _program(machine: Machine, program: str, why: str) -> Check:
    found = machine.which(program)
    if found is None:
        return Check(name=program, state="fail", found="not on PATH", fix=why)
    return Check(name=program, state="ok", found=found)


def _where_needed(machine: Machine, plan: Plan, stack: str) -> Iterator[Check]:
    """Yield the agent for SSH, Docker and kubectl, for a stack that needs them from here."""
    if any(True for _ in plan.runs()):
        yield from _agent(machine)
    docker = plan.relay.docker
    if docker is not None and docker.access.endpoint.startswith("ssh://"):
        yield from _key_for_docker(machine, docker.access.ssh_options, stack)
    if docker is not None and docker.access.endpoint.startswith("unix://"):
        code, out, err = machine.run("docker", "version", "--format", "{{.Server.Version}}")
        if code == 0 and out.strip():
            yield Check(name="docker", state="ok", found=f"engine {out.strip()}")
        else:
            reason = (err or out).strip().splitlines()
            yield Check(
                name="docker",
                state="fail",
                found=reason[-1] if reason else "no answer",
                fix="start the engine, and let this user reach its socket",
            )
    if plan.relay.kubernetes is not None or (plan.postal is not None and plan.postal.kubernetes is not None):
        yield _program(machine, "kubectl", "drift and status ask the cluster by it: kubernetes.io/docs/tasks/tools")


def _agent(machine: Machine) -> Iterator[Check]:
    """The plugin that runs roles asks the agent, whatever key the stack has, and stops where there is none."""
    place = machine.environment.get("SSH_AUTH_SOCK")
    if not place:
        return
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(place)
    except OSError as error:
        yield Check(
            name="ssh agent",
            state="fail",
            found=f"SSH_AUTH_SOCK names {place}, where none answers: {error.strerror or error}",
            fix="unset SSH_AUTH_SOCK, or start the agent: an update would stop with `dial unix`",
        )


def _key_for_docker(machine: Machine, options: Sequence[str], stack: str) -> Iterator[Check]:
    """Docker reaches a host by the ssh program, which has no key of the stack unless an agent holds it."""
    if any(option.startswith("-oIdentityFile=") for option in options):
        return
    code, out, err = machine.run("ssh-add", "-l")
    if code == 0:
        yield Check(name="key for docker", state="ok", found=f"the agent holds {len(out.splitlines())}")
        return
    yield Check(
        name="key for docker",
        state="warn",
        found=(out or err).strip() or "no agent answers",
        fix="Docker logs in with a key of the agent, in the shell of `pulumi up`: eval $(ssh-agent), then "
        f"pulumi config get --path 'mailstack:ssh.private_key' --stack {stack} | ssh-add -",
    )


def _clock(machine: Machine) -> Check:
    """A wrong clock breaks TLS, ACME and the days of a rotation."""
    name = "clock"
    code, out, _ = machine.run("timedatectl", "show", "-p", "NTPSynchronized", "--value")
    if code == 0 and out.strip() in {"yes", "no"}:
        if out.strip() == "yes":
            return Check(name=name, state="ok", found="synchronised")
        return Check(
            name=name, state="warn", found="not synchronised", fix="timedatectl set-ntp true, or install chrony"
        )
    return Check(name=name, state="unknown", found="timedatectl does not tell whether it is synchronised")


# --- the stack ------------------------------------------------------------------------------------------------------


def _stack_file(machine: Machine, path: Path) -> tuple[Plan | None, list[Check]]:
    name, stack = "stack file", stack_of(path.name)
    try:
        written = Written.in_file(path)
        plan = load_plan(rehearsal_config(path), written=[written], outside=Outside(today=machine.today))
        missing = missing_secrets(read_stack_file(path, throwaway), path.parent)
    except StackFileError as error:
        found, _, fix = str(error).partition(". Fix: ")
        return None, [Check(name=name, state="fail", found=found, fix=fix or "correct it at that place")]
    except SettingsError as error:
        first = str(error).splitlines()[0]
        return None, [
            Check(name=name, state="fail", found=first, fix=f"mailstack validate --stack {stack} tells them all")
        ]
    if is_example(path):
        found = f"{path.name} is an example of the repository: nobody has the passphrase of its secrets"
        fix = "`mailstack init` with another name begins a stack of your own"
        return None, [Check(name=name, state="fail", found=found, fix=fix)]
    checks = [Check(name=name, state="ok", found=f"{path.name} is valid")]
    if missing:
        checks.append(
            Check(
                name="secrets",
                state="fail",
                found=f"missing: {', '.join(step.what for step in missing)}",
                fix="`mailstack init` makes what can be made, and names the command for the rest",
            )
        )
    size = config_bytes(written.config)
    share = f"{size:,} of {LIMIT_BYTES:,} bytes"
    near = size > NEAR_LIMIT * LIMIT_BYTES
    way_out = "before it grows further, see docs/how-to/many-domains.md" if near else ""
    checks.append(Check(name="configuration size", state="warn" if near else "ok", found=share, fix=way_out))
    return plan, checks


def _secrets(machine: Machine, stack: str, path: Path, plan: Plan) -> Iterator[Check]:
    """Yield whether the stack's secrets open, and with them whether the Cloudflare token works."""
    with_passphrase = re.search(r"^encryptionsalt:", path.read_text(), re.MULTILINE) is not None
    try:
        raw = machine.opened(stack, machine.folder)
    except (StackFileError, ValueError) as error:
        reason = str(error).splitlines()[0]
        fix = way_out(reason) or "log in to who encrypts this stack's secrets"
        yield Check(name="secrets open", state="fail", found=reason, fix=fix)
        return
    yield Check(
        name="secrets open", state="ok", found="with the passphrase" if with_passphrase else "with their provider"
    )
    token = (raw.get("dns") or {}).get("cloudflare", {}).get("api_token") if plan.dns.cloudflare is not None else None
    if token is not None:
        yield _cloudflare(machine, str(token), tuple(plan.dns.zones))


def _cloudflare(machine: Machine, token: str, zones: Sequence[str]) -> Check:
    name = "Cloudflare token"
    fix = f"make one with {TOKEN_RIGHTS} for these zones: dash.cloudflare.com/profile/api-tokens"
    try:
        seen = CloudflareApi(machine.cloudflare_url, token, seconds=API_SECONDS).zones(zones)
    except CloudflareError as error:
        refused = REFUSED.search(str(error)) is not None
        text = textwrap.shorten(str(error), SHOWN_CHARACTERS, placeholder="…")
        return Check(name=name, state="fail" if refused else "unknown", found=text, fix=fix if refused else "")
    hidden = [zone for zone in zones if zone not in seen]
    if hidden:
        return Check(name=name, state="fail", found=f"it sees no zone {', '.join(hidden)}", fix=fix)
    return Check(name=name, state="ok", found=f"sees {', '.join(zones)}")
