"""The options of `mailstack verify` and `diagnose`: what they say in --help, and what is made of them."""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import ROOT

if TYPE_CHECKING:
    from mailstack.verify.around import Around
    from mailstack.verify.target import Target

__all__ = [
    "HOW",
    "OUT",
    "DomainOption",
    "FailOnWord",
    "Form",
    "FromFileOption",
    "HeloOption",
    "HostOption",
    "OwnResolverOption",
    "ResolverOption",
    "ReturnPathOption",
    "SelectorOption",
    "SenderOption",
    "StackChoice",
    "TimeoutOption",
    "WrongCallError",
    "option",
    "read_seconds",
    "target_from",
    "world_from",
    "wrong_call",
]

WHAT, HOW, OUT = "What is looked at", "How", "What comes out"
UNITS = {"s": 1, "m": 60, "h": 3600}


class Form(StrEnum):
    """The forms of a report."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"
    PROMETHEUS = "prometheus"
    MARKDOWN = "markdown"


class FailOnWord(StrEnum):
    """From which state on a finding is wrong."""

    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"


def option(*flags: str, about: str, panel: str, **more: Any) -> Any:
    """Return an option with its text and its place in --help; its default is said in the text."""
    return typer.Option(*flags, help=about, rich_help_panel=panel, show_default=False, **more)


StackChoice = Annotated[
    str | None, option("--stack", about="a stack: what its output `verify` tells of it", panel=WHAT, metavar="NAME")
]
FromFileOption = Annotated[
    bool, option("--from-file", about="with --stack: what Pulumi.<stack>.yaml declares, without an engine", panel=WHAT)
]
DomainOption = Annotated[
    list[str] | None,
    option("--domain", about="a domain; with --stack: only these of its domains", panel=WHAT, metavar="NAME"),
]
SelectorOption = Annotated[
    list[str] | None, option("--selector", about="a DKIM selector of the domains", panel=WHAT, metavar="NAME")
]
ReturnPathOption = Annotated[
    list[str] | None, option("--return-path", about="a domain in MAIL FROM of their mail", panel=WHAT, metavar="NAME")
]
SenderOption = Annotated[
    list[str] | None, option("--sender", about="an address their mail leaves from", panel=WHAT, metavar="ADDRESS")
]
HostOption = Annotated[list[str] | None, option("--host", about="a mail host", panel=WHAT, metavar="NAME")]
ResolverOption = Annotated[
    list[str] | None,
    option(
        "--resolver", about="asked besides the zones' own servers, instead of public ones", panel=HOW, metavar="ADDRESS"
    ),
]
OwnResolverOption = Annotated[
    str | None,
    option("--own-resolver", about="follows delegations, asks block lists; the system's", panel=HOW, metavar="ADDRESS"),
]
TimeoutOption = Annotated[
    float,
    option(
        "--timeout", about="seconds for one look; then the rest is unknown [60]", panel=HOW, metavar="SECONDS", min=1.0
    ),
]

HeloOption = Annotated[
    str | None,
    option("--helo", about="what is said in EHLO; this machine's name, or its address", panel=HOW, metavar="NAME"),
]


def read_seconds(text: str) -> float:
    """Return how many seconds ``90``, ``90s``, ``30m`` or ``2h`` are."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise wrong_call(f"{text!r} is no length of time; write 90s, 30m or 2h")
    return float(match[1]) * UNITS[match[2] or "s"]


class WrongCallError(typer.BadParameter):
    """A call that asks for something that is not there; it ends with 2. The text says all of it."""

    def format_message(self) -> str:
        """Return the text without saying which parameter it came from."""
        return str(self.message)


def wrong_call(text: str) -> WrongCallError:
    """Return the error of a call that asks for something that is not there."""
    return WrongCallError(text)


def world_from(resolvers: list[str] | None, own: str | None, helo: str | None) -> "Around":
    """Return whom to ask. A resolver by name is a wrong call: nobody would answer, and all would be unknown."""
    from ipaddress import ip_address

    from mailstack.reach.resolvers import place_of
    from mailstack.verify.surroundings import around

    named = [("--resolver", one) for one in resolvers or ()] + ([] if own is None else [("--own-resolver", own)])
    for flag, text in named:
        try:
            ip_address(place_of(text)[0])
        except ValueError:
            raise wrong_call(f"{flag} {text!r} is no address: write 192.0.2.53, 192.0.2.53:5353 or [::1]:53") from None
    return around(os.environ, resolvers=resolvers or (), own=own, helo=helo)


def target_from(
    *,
    stack: str | None,
    from_file: bool,
    domains: list[str] | None,
    selectors: list[str] | None,
    return_paths: list[str] | None,
    senders: list[str] | None,
    hosts: list[str] | None,
    folder: Path = ROOT,
) -> "Target":
    """Return what is to be looked at. A target that is not found is a wrong call."""
    from mailstack.reach.outputs import OutputError, stack_output
    from mailstack.verify.aiming import TargetError, limited, target_of_flags, target_of_output

    further = {"--selector": selectors, "--return-path": return_paths, "--sender": senders, "--host": hosts}
    try:
        if stack is None:
            if from_file:
                raise wrong_call("--from-file needs --stack: it says which file")
            return target_of_flags(
                domains or (), selectors=selectors or (), return_paths=return_paths or (), senders=senders or (),
                hosts=hosts or (),
            )  # fmt: skip
        for flag, given in further.items():
            if given:
                raise wrong_call(f"{flag} goes with --domain alone: stack {stack} tells it itself")
        if from_file:
            return limited(_declared(stack, folder), domains or ())
        return limited(
            target_of_output(stack_output("verify", stack, folder, instead="--from-file"), stack), domains or ()
        )
    except (TargetError, OutputError) as error:
        raise wrong_call(str(error)) from None


def _declared(stack: str, folder: Path) -> "Target":
    """Return what a stack file declares. Its encrypted keys are not opened, so their public halves are not known."""
    from mailstack.plan import load_plan
    from mailstack.plan.verification import verify_target, without_made_up_keys
    from mailstack.settings.initialise import rehearsal_config
    from mailstack.settings.stackfile import StackFileError

    path = folder / f"Pulumi.{stack}.yaml"
    try:
        plan = load_plan(rehearsal_config(path))
    except StackFileError as error:
        raise wrong_call(str(error)) from None
    return without_made_up_keys(plan.settings, verify_target(plan)).model_copy(update={"stack": stack})
