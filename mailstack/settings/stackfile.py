"""Reads ``Pulumi.<stack>.yaml`` without an engine. Encrypted values stay encrypted: they are replaced, never read."""

import re
import secrets
import string
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from mailstack.settings.config_size import engine_json
from mailstack.settings.problems import Location
from mailstack.settings.yaml_text import read_yaml

__all__ = [
    "PROJECT",
    "PROJECT_FOLDER",
    "SecretKind",
    "StackFileError",
    "as_mapping",
    "engine_config",
    "is_example",
    "location_of",
    "new_dkim_key",
    "new_ed25519_key",
    "new_ssh_key",
    "new_word",
    "read_stack_file",
    "sealed_config",
    "secret_kind",
    "section_at",
    "stack_of",
    "throwaway",
]

SecretKind = Literal["ssh", "rsa", "ed25519", "sendgrid", "word"]

PROJECT = "mailstack"
PROJECT_FOLDER = Path(__file__).resolve().parents[2]
# Of Pulumi.staging.yaml and Pulumi.prod.yaml as they come with the repository.
EXAMPLE_SALTS = ("v1:ItLPvoTZ/xk=:", "v1:u48Ti6Cawxg=:")
# Receivers must take 2048 bits and need not take more than 4096 (RFC 8301 §3.2).
DKIM_BITS = 2048


class StackFileError(ValueError):
    """The file is not a Pulumi stack file."""


def read_stack_file(path: Path, secret: Callable[[Location, Mapping[str, Any]], str]) -> dict[str, Any]:
    """Return the project's configuration in ``path``: key without prefix to value.

    ``secret`` supplies the value for each encrypted entry; it gets the entry's location and the raw document.
    Raises StackFileError for a missing file, broken YAML or no ``config`` mapping.
    """
    raw = sealed_config(path)
    return {key: _open(value, (key,), lambda where: secret(where, raw)) for key, value in raw.items()}


def sealed_config(path: Path) -> dict[str, Any]:
    """Return the project's configuration in ``path`` with its encrypted entries as they stand: ``{"secure": …}``.

    Raises StackFileError as ``read_stack_file`` does.
    """
    try:
        document = read_yaml(path.read_text())
    except FileNotFoundError:
        raise StackFileError(_missing(path)) from None
    except OSError as error:
        raise StackFileError(f"{path.name} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StackFileError(f"{path.name} is not YAML: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        raise StackFileError(f"{path.name} has no `config:` mapping")
    found: dict[str, Any] = {}
    for key, value in document["config"].items():
        own = _own(str(key))
        if own in found:
            raise StackFileError(f"{path.name} has two sections {own}: {key} is one. Fix: keep one of them")
        if own is not None:
            found[own] = value
    return found


def _missing(path: Path) -> str:
    """Return what to say of a file that is not there: most often its name is mistyped, or has an organisation in it."""
    if path.parent.name.startswith("Pulumi."):
        organisation, stack = path.parent.name.removeprefix("Pulumi."), stack_of(path.name)
        return (
            f"Pulumi.{organisation}/{path.name} does not exist. "
            f"Fix: --stack {stack}: the file is called after the name without its organisation"
        )
    there = sorted(stack_of(one.name) for one in path.parent.glob("Pulumi.*.yaml"))
    here = f"name a stack that is here ({', '.join(there)}), or begin one" if there else "begin one"
    return f"{path.name} does not exist. Fix: {here} with `mailstack init --stack {stack_of(path.name)}`"


def _own(key: str) -> str | None:
    """Return the name of a section of ours, None for others. The engine takes it with and without the prefix."""
    named = re.fullmatch(rf"(?:{PROJECT}:(?:config:)?)?([^:]+)", key)
    return None if named is None else named[1]


def stack_of(name: str) -> str:
    """Return the name of the stack whose file has this name."""
    return name.removeprefix("Pulumi.").removesuffix(".yaml")


def is_example(path: Path) -> bool:
    """Tell whether the file is one of the repository's examples: nobody has the passphrase of its secrets."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return any(f"encryptionsalt: {salt}" in text for salt in EXAMPLE_SALTS)


def engine_config(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the configuration as the engine hands it to a program: full keys, structures as JSON."""
    return {f"{PROJECT}:{key}": value if isinstance(value, str) else engine_json(value) for key, value in raw.items()}


def location_of(path: str) -> Location:
    """Return the location that a path of `pulumi config set --path` names, such as ``domains[0].dkim[1].key``."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path))


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return ``value`` where it is a mapping: another shape is a mistake, and said by who checks the settings."""
    return value if isinstance(value, Mapping) else {}


def section_at(raw: Any, location: Location) -> Any:
    """Return what holds the value at ``location``; sections that are missing or null open, as the CLI opens them.

    Raises TypeError or LookupError where something else stands in their place.
    """
    for part in location[:-1]:
        if isinstance(raw, dict) and raw.get(part) is None:
            raw[part] = {}
        raw = raw[part]
    return raw


def _open(value: Any, where: Location, secret: Callable[[Location], str]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return secret(where)
        return {key: _open(item, (*where, key), secret) for key, item in value.items()}
    if isinstance(value, list):
        return [_open(item, (*where, index), secret) for index, item in enumerate(value)]
    return value


def secret_kind(where: Location, raw: Mapping[str, Any]) -> SecretKind:
    """Return what kind of value the secret at ``where`` is: a key, or a word (``sendgrid``: with the prefix it has)."""
    if where[-1] == "private_key" and where[0] in {"ssh", "hosts"}:
        return "ssh"
    beside = _beside(where, raw)
    if where[-1] in {"private_key", "signing_key"}:
        return "ed25519" if beside.get("key_type") == "ed25519" else "rsa"
    return "sendgrid" if where[-1] == "password" and beside.get("preset") == "sendgrid" else "word"


def throwaway(where: Location, raw: Mapping[str, Any]) -> str:
    """Return a fresh value of the right kind for the secret at ``where``. It opens nothing anywhere."""
    makers: Mapping[SecretKind, Callable[[], str]] = {
        "ssh": lambda: new_ssh_key()[0],
        "rsa": new_dkim_key,
        "ed25519": new_ed25519_key,
        "sendgrid": lambda: f"SG.{new_word()}",
        "word": new_word,
    }
    return makers[secret_kind(where, raw)]()


def _beside(where: Location, raw: Any) -> Mapping[str, Any]:
    """Return the mapping that holds the value at ``where``."""
    for part in where[:-1]:
        raw = raw[part]
    return as_mapping(raw)


def new_word(characters: int = 44) -> str:
    """Return a random word of letters and digits: a password, or with 24 characters a key like Postal's own."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(characters))


def new_dkim_key() -> str:
    """Return a new RSA private key as PEM, made by openssl."""
    return subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{DKIM_BITS}"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def new_ed25519_key() -> str:
    """Return a new Ed25519 private key as PEM (PKCS#8), made by openssl; for DKIM (RFC 8463)."""
    return subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ED25519"], check=True, capture_output=True, text=True
    ).stdout


def new_ssh_key(comment: str = "mailstack") -> tuple[str, str]:
    """Return a new Ed25519 key pair, private key as OpenSSH text and public key line, made by ssh-keygen."""
    with tempfile.TemporaryDirectory(prefix="mailstack-key-") as folder:
        path = Path(folder) / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True)
        return path.read_text(), path.with_suffix(".pub").read_text().strip()
