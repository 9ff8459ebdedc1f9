"""What is secret is a secret to Pulumi: encrypted in the state, hidden in previews."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen
from mailstack.policy.wire import UNKNOWN, Hidden, leaves

__all__ = ["SECRETS"]

# Inputs that carry secrets whatever they are called; of a command's connection only what logs in.
ALWAYS: Mapping[str, tuple[str, ...]] = {
    "command:remote:Command": ("stdin",),
    "docker:index/container:Container": ("uploads",),
    "pulumi:providers:cloudflare": ("apiToken", "apiKey"),
    "pulumi:providers:kubernetes": ("kubeconfig",),
    "pulumi:providers:docker": ("keyMaterial",),
    "kubernetes:core/v1:Secret": ("data", "stringData"),
}
# The last part of an input's name. `... version` counts changes, `..._file` and `..._maps` say where.
NAMED = re.compile(
    r"(.+_)?(password|passwd|passphrase|secret|token|api_?key|private_?key|signing_key|secret_key|kubeconfig"
    r"|access_key|key_material|credential)",
    re.IGNORECASE,
)
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Below this heading of a component every entry is a key of an application.
KEYS_OF_APPLICATIONS = "credentials/"
# What stands there where there is no secret: how somebody logs in without one.
TOLD = frozenset({"", "of the SSH agent", "yes", "no"})
LOOKS_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}"
    r"|\bkey-[0-9a-f]{32}\b|\bxox[abp]-[\w-]{10,}|\bAIza[\w-]{35}|\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@]+@"
)


def _secrets(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    always = ALWAYS.get(resource.type, ())
    for path, value in leaves(resource.marked):
        if isinstance(value, Hidden) or value is UNKNOWN or not isinstance(value, str):
            continue
        where = ".".join(path)
        if path[0] in always and value:
            yield f"{where} is in clear: what it carries would stand in state and previews"
        elif _is_named(path, value):
            yield f"{where} is named like a secret and is in clear"
        elif LOOKS_SECRET.search(value):
            yield f"{where} holds what looks like a key or a password, in clear"


def _is_named(path: tuple[str, ...], value: str) -> bool:
    if value in TOLD:
        return False
    last = path[-1]
    if len(path) == 1 and "/" in last:  # of a component
        if last.startswith(KEYS_OF_APPLICATIONS):
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
)
