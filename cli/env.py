"""`mailstack env`: what an application needs of a stack, in the form that it reads."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import ROOT

if TYPE_CHECKING:
    from mailstack.outputs.application import Application

__all__ = ["EPILOG", "env"]

# RFC 1123 §2.1, as Kubernetes reads it: a namespace is a label, the name of a Secret a whole name.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAME = re.compile(rf"(?=.{{1,253}}$){LABEL.pattern}(\.{LABEL.pattern})*")
SERVICE = re.compile(r"[a-zA-Z0-9._-]+")
EPILOG = (
    "Secrets go to a file of mode 0600 (--out) or into a pipe; to a terminal only with --show-secrets. Exit codes: 0 "
    "written; 1 the outputs cannot be read or do not have it; 2 wrong call."
)


class Format(StrEnum):
    """What is written."""

    DOTENV = "dotenv"
    JSON = "json"
    K8S_SECRET = "k8s-secret"  # noqa: S105 - the name of a form
    COMPOSE = "compose"


class Via(StrEnum):
    """Who takes the application's mail."""

    POSTAL = "postal"
    RELAY = "relay"
    LOGIN = "login"


def env(
    stack: Annotated[
        str | None, typer.Option("--stack", help="stack whose outputs are read", show_default=False)
    ] = None,
    *,
    from_json: Annotated[
        Path | None,
        typer.Option(
            "--from-json",
            help="read the outputs from this file (- is standard input) instead: what `pulumi stack output --json "
            "--show-secrets` printed, on a machine with the Pulumi CLI",
            show_default=False,
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="how it is written")] = Format.DOTENV,
    via: Annotated[
        Via | None,
        typer.Option(
            "--via",
            help="postal: API and SMTP with a key; relay: SMTP without a login; login: SMTP with a login. Absent: "
            "Postal where the stack has it, else the relay",
            show_default=False,
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="Postal's mail server, such as company/apps; needed of several", show_default=False
        ),
    ] = None,
    credential: Annotated[
        str | None,
        typer.Option("--credential", help="whose key, or who logs in; needed of several", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="file, replaced as a whole, mode 0600", show_default=False)
    ] = None,
    name: Annotated[str, typer.Option("--name", help="k8s-secret: its name")] = "mail",
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="k8s-secret: its namespace", show_default=False)
    ] = None,
    selector: Annotated[
        str | None,
        typer.Option(
            "--selector",
            "-l",
            help="k8s-secret: one for each namespace with these labels, as kubectl of this machine finds them now; "
            "written as kubectl does: key=value,key2=value2",
            show_default=False,
        ),
    ] = None,
    service: Annotated[str, typer.Option("--service", help="compose: the service that gets it")] = "app",
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="print secrets although standard output is a terminal")
    ] = False,
) -> None:
    """Write the variables an application sends mail with: SMTP_HOST, SMTP_PASSWORD, MAIL_API_KEY and so on."""
    from mailstack.outputs.application import application

    for option, value, pattern in (
        ("--name", name, NAME),
        ("--service", service, SERVICE),
        ("--namespace", namespace, LABEL),
    ):
        if value is not None and not pattern.fullmatch(value):
            raise typer.BadParameter(f"{option} {value} is no such name: it has to match {pattern.pattern}")
    for option, value in (("--namespace", namespace), ("--selector", selector)):
        if value is not None and form is not Format.K8S_SECRET:
            raise typer.BadParameter(f"{option} goes with --format {Format.K8S_SECRET.value}")
    if namespace is not None and selector is not None:
        raise typer.BadParameter("--namespace names one namespace and --selector asks for many; one of them")
    if out is not None and (out == Path("-") or _is_something_else(out)):
        raise typer.BadParameter(f"--out {out} is no file; for standard output leave it away")
    found = application(
        _outputs(stack, from_json), via=None if via is None else via.value, server=server, credential=credential
    )
    if out is None and found.secrets and sys.stdout.isatty() and not show_secrets:
        raise typer.BadParameter(
            f"{', '.join(found.secrets)} would be shown on the terminal and stay in its history; write a file with "
            "--out FILE, or insist with --show-secrets"
        )
    namespaces = _labelled(selector) if selector is not None else () if namespace is None else (namespace,)
    text = _text(found, form, name=name, namespaces=namespaces, service=service)
    if out is None:
        _print(text)
        return
    changes = list(_changes(out))
    _write(out, text)
    for change in changes:
        sys.stderr.write(f"{change}\n")
    if found.secrets and _for_git(out):
        sys.stderr.write(f"{out} holds secrets and git does not ignore it: add it to .gitignore\n")


def _outputs(stack: str | None, from_json: Path | None) -> dict[str, Any]:
    from mailstack.reach.outputs import OutputError, opened_outputs, parse_outputs

    if (stack is None) == (from_json is None):
        raise typer.BadParameter(
            "name the stack with --stack, or a file with its outputs with --from-json; one of them"
        )
    if stack is not None:
        return opened_outputs(stack, ROOT)
    if from_json == Path("-"):
        return parse_outputs(sys.stdin.read(), "standard input")
    try:
        return parse_outputs(from_json.read_text(encoding="utf-8"), str(from_json))  # type: ignore[union-attr] # one is
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{from_json} cannot be read: {error}") from None


def _labelled(selector: str) -> Sequence[str]:
    from mailstack.reach.kubectl import Kubectl, labelled_namespaces

    found = labelled_namespaces(Kubectl(None), selector)
    if not found:
        raise RuntimeError(
            f"no namespace has the labels {selector}, as kubectl tells; `kubectl label namespace NAME KEY=VALUE` gives "
            "one to a namespace"
        )
    return found


def _text(found: "Application", form: Format, *, name: str, namespaces: Sequence[str], service: str) -> str:
    from mailstack.outputs.formats import compose, dotenv, json_text, k8s_secret

    if form is Format.K8S_SECRET:
        return k8s_secret(found, name, namespaces)
    if form is Format.COMPOSE:
        return compose(found, service)
    return json_text(found) if form is Format.JSON else dotenv(found)


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # who reads has enough: main() knows
    except OSError as error:
        # What is still in the buffer would be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise RuntimeError(f"standard output cannot be written: {error.strerror}; it is not whole") from None


def _is_something_else(out: Path) -> bool:
    try:
        return out.exists() and not out.is_file()
    except OSError:
        return False  # who writes it says why it cannot be


def _write(out: Path, text: str) -> None:
    from mailstack.reach.files import PRIVATE, write_whole

    try:
        write_whole(out, text, mode=PRIVATE)
    except OSError as error:
        raise RuntimeError(f"{out} cannot be written: {error.strerror}; its folder has to be there and yours") from None


def _changes(out: Path) -> Iterator[str]:
    """Yield what replacing ``out`` changes but its text. Neither a link nor an owner is followed.

    Who made them beforehand, in a folder of everybody's, would say where secrets go.
    """
    with suppress(OSError):
        if out.is_symlink():
            yield f"{out} was a link to {out.readlink()}, which stays as it is; now it is a file of its own"
        owner = out.lstat().st_uid
        if owner != os.geteuid():
            yield f"{out} was of user {owner} and is yours now: `chown {owner} {out}` if that one is to read it"


def _for_git(out: Path) -> bool:
    """Tell whether git would take the file: in a checkout, and not ignored."""
    try:
        asked = subprocess.run(
            ["git", "check-ignore", "-q", "--", out.name], cwd=out.absolute().parent, capture_output=True, check=False
        )
    except OSError:
        return False
    return asked.returncode == 1  # 128: no checkout
