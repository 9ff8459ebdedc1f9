"""What is secret is a secret to Pulumi: encrypted in the state, hidden in previews."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen, Unclear
from mailstack.policy.wire import has_unknown

__all__ = ["SECRETS"]

# Inputs that carry secrets whatever they are called; of a command's connection only what logs in.
ALWAYS: Mapping[str, tuple[str, ...]] = {
    "command:remote:Command": ("stdin",),
    "docker:index/container:Container": ("uploads",),
    "pulumi:providers:cloudflare": ("apiToken", "apiKey"),
    "pulumi:providers:kubernetes": ("kubeconfig",),
    "pulumi:providers:docker": ("keyMaterial",),
    "kubernetes:core/v1:Secret": ("data", "stringData"),
    "docker:index/secret:Secret": ("data",),
    "docker-build:index:Image": ("secrets",),
}
# The last part of an input's name. `... version` counts changes, `..._file` and `..._maps` say where.
NAMED = re.compile(
    r"\w*(password|passwd|passphrase)|(\w+_)?pass|\w+_pwd|(\w+_)?(secret|token|api_?key|private_?key|signing_key|secret_key|kubeconfig"
    r"|access_key|key_material|credential)",
    re.IGNORECASE,
)
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
VARIABLE = re.compile(r"(\w+)=(.+)", re.DOTALL)
# Below these headings of a component every entry is a secret, whatever its name.
HEADINGS = ("credentials/", "user_passwords/", "registry_passwords/", "dkim/")
# What stands there where there is no secret: how somebody logs in without one.
TOLD = frozenset({"", "of the SSH agent", "yes", "no"})
LOOKS_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}"
    r"|\bkey-[0-9a-f]{32}\b|\bxox[abp]-[\w-]{10,}|\bAIza[\w-]{35}|\b[a-z][a-z0-9+.-]*://[^\s/:@]+:(?!\$[({]\w+[)}]@)[^\s/@]+@"
)
# Filled in where it runs, by Kubernetes or a shell: the secret stands elsewhere.
FILLED_IN = re.compile(r"\$(\(\w+\)|\{\w+\})")


# Of what is run: NAME=VALUE and --name VALUE. A value that begins with $ or / is in a variable or a file.
ASSIGNED = re.compile(
    r"""(?<![\w$/.-])(?P<name>[A-Za-z_]\w*)=['"]?(?![$/'"\s])\S|--(?P<option>[a-z-]+)[= ]['"]?(?![$/'"\s-])\S"""
)
RUN = frozenset({"create", "update", "delete", "args", "command", "entrypoints"})


def _secrets(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    always = ALWAYS.get(resource.type.removesuffix("Patch"), ())
    yield from (Unclear(name) for name in always if has_unknown(resource.marked.get(name)))
    for path, value in _texts(resource.marked):
        where = ".".join(path)
        if path[0] in always and value:
            yield f"{where} is in clear: what it carries would stand in state and previews"
        elif _is_named(path, value):
            yield f"{where} is named like a secret and is in clear"
        elif LOOKS_SECRET.search(value):
            yield f"{where} holds what looks like a key or a password, in clear"
        elif RUN & {*path} and (told := _handed_over(value)):
            yield f"{where} hands over {told} in clear: it stands in state, previews and the list of processes"


def _handed_over(text: str) -> str:
    """Return the variable or option of a command that carries a secret, "" where none does."""
    for found in ASSIGNED.finditer(text):
        name = found["name"] or found["option"]
        if NAMED.fullmatch(name.replace("-", "_")):
            return name if found["name"] else f"--{name}"
    return ""


def _texts(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the value of every text in clear.

    A text that is JSON, as a provider's inputs are, is looked into; a variable of a container's environment, NAME=VALUE
    or a mapping of name and value, counts as an input of that name.
    """
    if isinstance(value, dict):
        name, told = value.get("name"), value.get("value")
        if isinstance(name, str) and isinstance(told, str):
            yield (*path, name), told
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list) and RUN & {*path} and all(isinstance(item, str) for item in value):
        yield path, " ".join(value)  # an option and its value are two words of a command
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, str(number)))
    elif isinstance(value, str):
        yield path, value
        variable = VARIABLE.fullmatch(value) if path[0] == "envs" else None
        if variable is not None:
            yield (*path, variable[1]), variable[2]
        if value[:1] in {"{", "["}:
            with contextlib.suppress(ValueError):
                yield from _texts(json.loads(value), path)


def _is_named(path: tuple[str, ...], value: str) -> bool:
    if value in TOLD or FILLED_IN.fullmatch(value):
        return False
    last = path[-1]
    if len(path) == 1 and "/" in last:  # of a component
        if last.startswith(HEADINGS):
            return not last.endswith(" version")
        last = last.rpartition("/")[2]
    return NAMED.fullmatch(WORDS.sub("_", last)) is not None


SECRETS = Policy(
    name="secrets-are-secret",
    description="Inputs that carry secrets are Pulumi secrets, and none stands in clear anywhere else.",
    level=Level.MANDATORY,
    source="https://www.pulumi.com/docs/iac/concepts/secrets/",
    remedy="set it by `pulumi config set --secret`, and hand it on inside pulumi.Output.secret",
    check=_secrets,
    needs_marks=True,
)
