"""Makes the secrets a stack needs and puts them into its configuration, encrypted by Pulumi."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstack.stackfile import PROJECT, new_dkim_key, new_ssh_key, read_stack_file

__all__ = ["InitError", "Step", "initialise", "missing_secrets"]

Run = Callable[[Sequence[str], str], None]


class InitError(RuntimeError):
    """A secret could not be stored; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One secret: its configuration path, what it is, and who makes it (``ours``) or must be asked."""

    path: str
    what: str
    ours: bool


def missing_secrets(raw: Mapping[str, Any]) -> list[Step]:
    """Return the secrets that the configuration needs and does not have, in the order of the file."""
    steps: list[Step] = []
    hosts = raw.get("hosts") or {}
    if hosts and not (raw.get("ssh") or {}).get("private_key"):
        own = all(isinstance(host, Mapping) and host.get("private_key") for host in hosts.values())
        if not own:
            steps.append(Step(path=f"{PROJECT}:ssh.private_key", what="SSH key for the hosts", ours=True))
    for number, domain in enumerate(raw.get("domains") or []):
        for index, key in enumerate(domain.get("dkim") or []):
            if not key.get("private_key") and not key.get("public_key"):
                steps.append(
                    Step(
                        path=f"{PROJECT}:domains[{number}].dkim[{index}].private_key",
                        what=f"DKIM key {key.get('selector')} of {domain.get('name')}",
                        ours=True,
                    )
                )
    upstream = (raw.get("relay") or {}).get("upstream") or {}
    if upstream.get("auth") == "sasl" and not upstream.get("password"):
        steps.append(Step(path=f"{PROJECT}:relay.upstream.password", what="password of the upstream", ours=False))
    dns = raw.get("dns") or {}
    if dns.get("provider") == "cloudflare" and not (dns.get("cloudflare") or {}).get("api_token"):
        steps.append(Step(path=f"{PROJECT}:dns.cloudflare.api_token", what="Cloudflare API token", ours=False))
    return steps


def initialise(stack: str, folder: Path, say: Callable[[str], None], run: Run | None = None) -> list[Step]:
    """Make every missing secret that can be made here and return those only a person has.

    A second run makes nothing: existing secrets are never replaced, since losing a DKIM key or changing an SSH key
    breaks what already trusts it. ``run`` starts the Pulumi CLI; the value travels on its standard input.
    Raises InitError when the CLI is missing or refuses, StackFileError for a bad file.
    """
    run = run or (lambda argv, stdin: _pulumi(argv, stdin, folder))
    raw = read_stack_file(folder / f"Pulumi.{stack}.yaml", lambda _where, _raw: "encrypted")
    steps = missing_secrets(raw)
    if any(step.ours for step in steps):
        _ensure_stack(stack, run)
    for step in (step for step in steps if step.ours):
        if step.path.endswith("ssh.private_key"):
            value, public = new_ssh_key(f"{PROJECT}-{stack}")
            say(f"made {step.what}; authorise this line on every host:\n  {public}")
        else:
            value = new_dkim_key()
            say(f"made {step.what}")
        run(["config", "set", "--secret", "--path", step.path, "--stack", stack], value)
    return [step for step in steps if not step.ours]


def _ensure_stack(stack: str, run: Run) -> None:
    try:
        run(["stack", "init", stack, "--no-select"], "")
    except InitError as error:
        if "already exists" not in str(error):
            raise


def _pulumi(argv: Sequence[str], stdin: str, folder: Path) -> None:
    try:
        finished = subprocess.run(
            ["pulumi", *argv, "--non-interactive"],
            input=stdin,
            text=True,
            capture_output=True,
            cwd=folder,
            check=False,
        )
    except FileNotFoundError:
        raise InitError(
            "the Pulumi CLI is not on PATH; it encrypts the secrets. Install it with scripts/install-pulumi.sh"
        ) from None
    if finished.returncode != 0:
        raise InitError(f"pulumi {argv[0]} {argv[1]} failed: {finished.stderr.strip()}")
