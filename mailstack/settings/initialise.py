"""Makes the secrets a stack needs and puts them into its configuration, encrypted by Pulumi."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstack.settings.domains_file import with_domains_file
from mailstack.settings.domains_rules import WAYS
from mailstack.settings.problems import Location
from mailstack.settings.refusals import refused
from mailstack.settings.stackfile import (
    PROJECT,
    PROJECT_FOLDER,
    as_mapping,
    location_of,
    new_dkim_key,
    new_ed25519_key,
    new_ssh_key,
    new_word,
    read_stack_file,
    section_at,
    throwaway,
)

__all__ = [
    "InitError",
    "Run",
    "Step",
    "deployed_resources",
    "initialise",
    "missing_secrets",
    "rehearsal_config",
    "run_pulumi",
]

SSH_KEY = f"{PROJECT}:ssh.private_key"
POSTAL_KEY_CHARACTERS = 24  # as long as those Postal makes
# For a back end that does not answer; and for the CLI to finish what it has begun.
BACK_END_SECONDS, LAST_SECONDS = 20.0, 10.0
Run = Callable[[Sequence[str], str], None]


class InitError(RuntimeError):
    """A secret could not be stored; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One secret: its configuration path, what it is, and how it is made; None means that only a person has it."""

    path: str
    what: str
    make: Callable[[], str] | None = None

    @property
    def ours(self) -> bool:
        """Tell whether it can be made here."""
        return self.make is not None


def missing_secrets(raw: Mapping[str, Any], folder: Path = PROJECT_FOLDER) -> list[Step]:
    """Return the secrets that the configuration needs and does not have, in the order of the file.

    ``folder`` is where a domains file is looked for. Raises SettingsError for one that cannot be used.
    """
    steps: list[Step] = []
    hosts = as_mapping(raw.get("hosts"))
    if hosts and not as_mapping(raw.get("ssh")).get("private_key"):
        own = all(as_mapping(host).get("private_key") for host in hosts.values())
        if not own:
            steps.append(Step(path=SSH_KEY, what="SSH key for the hosts", make=str))
    for number, domain in _mappings(raw.get("domains")):
        for index, key in _mappings(domain.get("dkim")):
            if not any(key.get(place) for place in WAYS):
                ed25519 = key.get("key_type") == "ed25519"
                steps.append(
                    Step(
                        path=f"{PROJECT}:domains[{number}].dkim[{index}].private_key",
                        what=f"DKIM key {key.get('selector')} of {domain.get('name')}",
                        make=new_ed25519_key if ed25519 else new_dkim_key,
                    )
                )
    steps += _shared_keys(raw, folder)
    relay = as_mapping(raw.get("relay"))
    upstream = as_mapping(relay.get("upstream"))
    if upstream.get("auth") == "sasl" and not upstream.get("password"):
        steps.append(Step(path=f"{PROJECT}:relay.upstream.password", what="password of the upstream"))
    steps += _relay_secrets(relay)
    dns = as_mapping(raw.get("dns"))
    if dns.get("provider") == "cloudflare" and not as_mapping(dns.get("cloudflare")).get("api_token"):
        steps.append(Step(path=f"{PROJECT}:dns.cloudflare.api_token", what="Cloudflare API token"))
    steps += [*_postal_secrets(as_mapping(raw.get("postal"))), *_caddy_secrets(as_mapping(raw.get("caddy")))]
    steps += _cluster_secrets(as_mapping(raw.get("cluster")))
    message = as_mapping(as_mapping(raw.get("verify")).get("message"))
    if message and not as_mapping(message.get("imap")).get("password"):
        path = f"{PROJECT}:verify.message.imap.password"
        steps.append(Step(path=path, what=f"password of the mailbox {message.get('recipient')}"))
    return steps


def _mappings(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the mappings of a list, each with its place in it."""
    for number, entry in enumerate(value if isinstance(value, list) else ()):
        if isinstance(entry, Mapping):
            yield number, entry


def _relay_secrets(relay: Mapping[str, Any]) -> Iterator[Step]:
    for name, upstream in as_mapping(relay.get("upstreams")).items():
        if as_mapping(upstream).get("auth") == "sasl" and not upstream.get("password"):
            yield Step(path=f"{PROJECT}:relay.upstreams.{name}.password", what=f"password of the upstream {name}")
    for number, user in _mappings(as_mapping(relay.get("submission")).get("users")):
        if not user.get("password"):
            path = f"{PROJECT}:relay.submission.users[{number}].password"
            yield Step(path=path, what=f"password of {user.get('name')}", make=new_word)

    registry = as_mapping(as_mapping(relay.get("image")).get("registry"))
    if registry and not registry.get("password"):
        yield Step(path=f"{PROJECT}:relay.image.registry.password", what=f"password of {registry.get('server')}")
    tls = as_mapping(as_mapping(relay.get("docker")).get("tls"))
    if tls and not tls.get("private_key"):
        yield Step(path=f"{PROJECT}:relay.docker.tls.private_key", what="key of whoever talks to the Docker engine")


def _shared_keys(raw: Mapping[str, Any], folder: Path) -> Iterator[Step]:
    """Yield the keys that domains share and that are not there; a name that a domain uses is one of them."""
    held = as_mapping(raw.get("dkim_keys"))
    domains = with_domains_file(raw, folder).get("domains")
    entries = [entry for _, domain in _mappings(domains) for _, entry in _mappings(domain.get("dkim"))]
    used = [entry["key"] for entry in entries if isinstance(entry.get("key"), str)]
    for name in dict.fromkeys([*held, *used]):
        if not as_mapping(held.get(name)).get("private_key"):
            path = f"{PROJECT}:dkim_keys.{name}.private_key"
            yield Step(path=path, what=f"DKIM key {name}, shared by name", make=new_dkim_key)


def _postal_secrets(postal: Mapping[str, Any]) -> list[Step]:
    if not postal:
        return []
    database = as_mapping(postal.get("database"))
    wanted: list[tuple[str, Any, str, Callable[[], str]]] = [
        ("signing_key", postal, "signing key of Postal", new_dkim_key),
        ("secret_key", postal, "key of Postal's web logins", new_word),
        ("admin.password", as_mapping(postal.get("admin")), "password of Postal's administrator", new_word),
        ("database.password", database, "password of Postal's database user", new_word),
    ]
    if database.get("kind", "container") == "container":
        wanted.append(("database.root_password", database, "password of the database's root", new_word))
    steps = [
        Step(path=f"{PROJECT}:postal.{path}", what=what, make=make)
        for path, holder, what, make in wanted
        if not holder.get(path.rpartition(".")[2])
    ]
    for number, organization in _mappings(postal.get("organizations")):
        for index, server in _mappings(organization.get("mail_servers")):
            where = f"{PROJECT}:postal.organizations[{number}].mail_servers[{index}].credentials"
            steps += [
                Step(path=f"{where}[{place}].key", what=f"{key.get('type')} key {key.get('name')}", make=_postal_key)
                for place, key in _mappings(server.get("credentials"))
                if not key.get("key")
            ]
    return steps


def _postal_key() -> str:
    return new_word(POSTAL_KEY_CHARACTERS)


def _caddy_secrets(caddy: Mapping[str, Any]) -> list[Step]:
    acme, custom = as_mapping(caddy.get("acme")), caddy.get("custom")
    steps = []
    if acme.get("challenge") == "dns" and not acme.get("dns_token"):
        steps.append(Step(path=f"{PROJECT}:caddy.acme.dns_token", what="Cloudflare API token for challenges"))
    if isinstance(custom, Mapping) and not custom.get("private_key"):
        steps.append(Step(path=f"{PROJECT}:caddy.custom.private_key", what="key of the certificate"))
    return steps


def _cluster_secrets(cluster: Mapping[str, Any]) -> Iterator[Step]:
    if cluster and not cluster.get("token"):
        yield Step(path=f"{PROJECT}:cluster.token", what="token that nodes join the cluster with", make=new_word)
    for number, registry in _mappings(cluster.get("registries")):
        if registry.get("username") and not registry.get("password"):
            path = f"{PROJECT}:cluster.registries[{number}].password"
            yield Step(path=path, what=f"password of the registry {registry.get('name')}")


def rehearsal_config(path: Path) -> dict[str, Any]:
    """Return a stack file's configuration with throw-away secrets, those included that are still missing.

    Nothing of the real stack is opened. Raises StackFileError for a bad file.
    """
    raw = read_stack_file(path, throwaway)
    for step in missing_secrets(raw, path.parent):
        if step.path != SSH_KEY:
            # Where a text or a list stands in place of a section, the rules say so.
            with suppress(TypeError, LookupError):
                _fill(raw, step)
    return raw


def _fill(raw: dict[str, Any], step: Step) -> None:
    """Put a throw-away secret at a path such as ``domains[0].dkim[1].private_key``."""
    where = location_of(step.path.removeprefix(f"{PROJECT}:"))
    section = section_at(raw, where)
    section[where[-1]] = throwaway(where, raw) if step.make is None else step.make()


def initialise(
    stack: str,
    folder: Path,
    say: Callable[[str], None],
    run: Run | None = None,
    *,
    secrets_provider: str | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[Step]:
    """Make every missing secret that can be made here and return those only a person has.

    A second run makes nothing: existing secrets are never replaced, since losing a DKIM key or changing an SSH key
    breaks what already trusts it. ``run`` starts the Pulumi CLI; the value travels on its standard input.
    ``secrets_provider`` is who encrypts in a stack that is new to the back end, as `pulumi stack init` has it.
    ``say`` is told what was made, ``warn`` (default: the same) that the stack may be in another back end.
    Raises InitError when the CLI is missing or refuses, StackFileError for a bad file.
    """
    run = run or (lambda argv, stdin: run_pulumi(argv, stdin, folder))
    encrypted = []

    def sealed(where: Location, _raw: Mapping[str, Any]) -> str:
        encrypted.append(where)
        return "encrypted"

    raw = read_stack_file(folder / f"Pulumi.{stack}.yaml", sealed)
    steps = missing_secrets(raw, folder)
    if any(step.ours for step in steps) and _made_stack(stack, run, secrets_provider) and encrypted:
        (warn or say)(
            f"stack {stack} was not in this back end, and is there now, empty, though its file has encrypted values. "
            f"Where it is deployed already, it is in another back end: `pulumi stack rm {stack} --preserve-config`, "
            "then log in there"
        )
    for step in (step for step in steps if step.ours):
        if step.path == SSH_KEY:
            value, public = new_ssh_key(f"{PROJECT}-{stack}")
            say(f"made {step.what}; authorise this line on every host:\n  {public}")
        else:
            value = step.make() if step.make is not None else ""
            say(f"made {step.what}")
        run(["config", "set", "--secret", "--path", step.path, "--stack", stack], value)
    return [step for step in steps if not step.ours]


def _made_stack(stack: str, run: Run, secrets_provider: str | None) -> bool:
    """Make the stack where the back end has none of that name; tell whether it had none."""
    provider = [] if secrets_provider is None else ["--secrets-provider", secrets_provider]
    try:
        run(["stack", "init", stack, "--no-select", *provider], "")
    except InitError as error:
        if "already exists" not in str(error):
            raise
        return False
    return True


def run_pulumi(argv: Sequence[str], stdin: str, folder: Path) -> None:
    """Run the Pulumi CLI in ``folder``. Raises InitError when it is missing or refuses."""
    code, _, errors = _pulumi(argv, stdin, folder)
    if code != 0:
        raise InitError(f"pulumi {argv[0]} {argv[1]} failed: {refused(errors.strip())}")


def deployed_resources(stack: str, folder: Path) -> int:
    """Return how many resources the back end has of a stack; none where it has no such stack, or does not answer."""
    try:
        code, out, _ = _pulumi(["stack", "ls", "--json", "--project", PROJECT], "", folder, BACK_END_SECONDS)
        listed: list[dict[str, Any]] = json.loads(out or "[]") if code == 0 else []
        there = {str(one["name"]).rpartition("/")[2]: one for one in listed}
        return int(there.get(stack, {}).get("resourceCount") or 0)
    except (InitError, ValueError, LookupError, TypeError, AttributeError, subprocess.TimeoutExpired):
        return 0


def _pulumi(argv: Sequence[str], stdin: str, folder: Path, seconds: float | None = None) -> tuple[int, str, str]:
    """Run the CLI in a session of its own: Ctrl-C must not end it while it writes the stack file."""
    try:
        process = subprocess.Popen(
            ["pulumi", *argv, "--non-interactive"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise InitError(
            "the Pulumi CLI is not on PATH; it encrypts the secrets. Install it with scripts/install-pulumi.sh"
        ) from None
    with process:
        try:
            out, errors = process.communicate(stdin, timeout=seconds)
        except KeyboardInterrupt:
            _let_end(process)
            raise
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, errors


def _let_end(process: "subprocess.Popen[str]") -> None:
    try:
        process.communicate(timeout=LAST_SECONDS)
    except (subprocess.TimeoutExpired, ValueError):
        process.kill()
