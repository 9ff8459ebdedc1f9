"""Variables as a file: dotenv, JSON, a Kubernetes Secret, a piece of a compose file."""

import base64
import json
import re
from collections.abc import Mapping, Sequence

import yaml

from mailstack.outputs.application import Application

__all__ = ["FormatError", "compose", "dotenv", "json_text", "k8s_secret"]

# No quotes needed anywhere. `docker run --env-file` and systemd's EnvironmentFile read such a line too, and they know
# no quotes, or others.
PLAIN = re.compile(r"[A-Za-z0-9@%+=:,./_-]*")
# What a text in double quotes may not have: shell, compose and dotenv read each of these differently.
NOT_IN_DOUBLE_QUOTES = frozenset('"$`\\!')


class FormatError(RuntimeError):
    """A value that a format has no spelling for; the text names its variable and never the value."""


def dotenv(application: Application) -> str:
    """Return lines that python-dotenv, dotenv of Node, `env_file` of docker compose and a shell read alike.

    They agree on little. Single quotes keep everything, but python-dotenv knows escapes in them and fills in
    ``${NAME}`` even there. Raises FormatError for what at least one of them would read otherwise.
    """
    lines = [f"{name}={_quoted(name, text)}" for name, text in application.variables.items()]
    return "\n".join([f"# {_comment(application)}", *lines, ""])


def _quoted(name: str, text: str) -> str:
    if PLAIN.fullmatch(text):
        return text
    reason = _not_portable(text)
    if reason is not None:
        raise FormatError(
            f"{name} {reason}, which readers of dotenv files read in different ways; use --format json, or give it "
            "another value in the settings"
        )
    return f'"{text}"' if "'" in text else f"'{text}'"


def _not_portable(text: str) -> str | None:
    """Return what is in ``text`` that no spelling keeps for all readers."""
    if not all(character.isprintable() for character in text):
        return "has a line break or another character that is not printed"
    if "${" in text:
        return "has ${"
    if "'" in text and NOT_IN_DOUBLE_QUOTES & set(text):
        return "has ' together with one of \" $ ` \\ !"
    if "\\\\" in text or text.endswith("\\"):
        return "has \\ twice or at its end"
    return None


def json_text(application: Application) -> str:
    """Return one JSON object of all variables."""
    return json.dumps(dict(application.variables), indent=2, ensure_ascii=False) + "\n"


def k8s_secret(application: Application, name: str, namespaces: Sequence[str] = ()) -> str:
    """Return the manifest of a Secret, for ``envFrom`` of a container or as files of a volume.

    One for each of ``namespaces``; without any, one for that of `kubectl apply`. ``data`` and not ``stringData``: what
    is no longer in that stays in the cluster at the next `kubectl apply` (kubernetes/kubernetes#108008), such as the
    password of a key that was taken away.
    """
    data = {name: base64.b64encode(text.encode()).decode() for name, text in application.variables.items()}
    head = [_comment(application)]
    if application.namespace_labels:
        labels = " ".join(f"{key}={text}" for key, text in application.namespace_labels.items())
        where = " ".join(namespaces) or "NAME"
        head.append(f"The relay answers pods of labelled namespaces: kubectl label namespace {where} {labels}")
    documents = [_yaml(_secret(name, namespace, data)) for namespace in namespaces or (None,)]
    return _comments(head) + "---\n".join(documents)


def _secret(name: str, namespace: str | None, data: Mapping[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            **({} if namespace is None else {"namespace": namespace}),
            "labels": {"app.kubernetes.io/part-of": "mailstack", "app.kubernetes.io/managed-by": "mailstack"},
        },
        "type": "Opaque",
        "data": data,
    }


def compose(application: Application, service: str) -> str:
    """Return a piece of a compose file: a service with the variables, on the relay's network where it has one.

    Compose reads ``$`` as the start of a variable of its own; doubled it is a plain one.
    """
    told = {name: text.replace("$", "$$") for name, text in application.variables.items()}
    networks = {"networks": ["default", *application.networks]} if application.networks else {}
    document = {
        "services": {service: {"environment": told, **networks}},
        **({"networks": dict(application.networks)} if application.networks else {}),
    }
    return _comments(
        [_comment(application), "Give it to docker compose beside your own file: -f compose.yaml -f FILE"]
    ) + _yaml(document)


def _comment(application: Application) -> str:
    secret = " It holds secrets: keep it out of git." if application.secrets else ""
    # Names of credentials are the user's: a line break in one would end the comment.
    about = " ".join(application.about.split())
    return f"Made by `mailstack env`: mail via {about}.{secret}"


def _comments(lines: list[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)


def _yaml(document: Mapping[str, object]) -> str:
    # What is not printed, such as a next-line character (U+0085), is a line break to YAML unless it is escaped.
    readable = json.dumps(document, ensure_ascii=False).isprintable()
    # The width is that of no line: a folded text is right, but people search for what they know.
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=readable, width=10_000)
