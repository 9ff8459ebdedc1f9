"""Commands about what DNS holds: dns list, dns diff, dns flatten, rotate dkim, dmarc report."""

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.common import ROOT, JsonOption, StackOption, in_dns, named, print_json, say, today
from cli.verify_options import wrong_call

__all__ = ["dmarc", "dns", "finish", "rotate"]

dns = typer.Typer(help="What the zones hold already, and the addresses behind SPF includes.", no_args_is_help=True)
rotate = typer.Typer(help="Say and take the next step of a rotation.", no_args_is_help=True)
dmarc = typer.Typer(help="What reports say of the next stage of a DMARC policy.", no_args_is_help=True)


class KeyType(StrEnum):
    """Kinds of DKIM keys."""

    RSA = "rsa"
    ED25519 = "ed25519"


ZoneFileOption = Annotated[
    list[str] | None,
    typer.Option("--zone-file", help="ZONE=FILE, an export in BIND format: then nobody is asked about that zone"),
]


def _zone_files(given: Sequence[str], zones: Collection[str]) -> dict[str, Path]:
    """Return zone to file. Raises a wrong call for another form, or a zone of another stack."""
    files = {}
    for one in given:
        zone, equals, path = one.partition("=")
        if not equals:
            raise wrong_call(f"--zone-file {one} is not of the form ZONE=FILE")
        files[in_dns(zone)] = Path(path)
    unknown = [zone for zone in files if zone not in zones]
    if unknown:
        raise wrong_call(f"--zone-file: {unknown[0]} is none of the stack's zones ({', '.join(zones)})")
    return files


def finish(stack: str, step: Callable[[Callable[[str], None]], int], *, check: bool, as_json: bool) -> NoReturn:
    """Take a step that says what it does and end with its code; with ``as_json`` what it says is one document."""
    said: list[str] = []
    code = step(said.append if as_json else say)
    if as_json:
        print_json({"stack": stack, "code": code, "taken": code == 0 and not check, "said": said})
    raise typer.Exit(code)


@dns.command("list")
def list_(
    stack: StackOption,
    *,
    zone_file: ZoneFileOption = None,
    entries: Annotated[bool, typer.Option("--entries", help="only the YAML for dns.existing")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the records of the stack's zones, sorted by what they are to it. Exits with 1 where one was not seen."""
    from cli.dns import list_zones
    from mailstack.plan import load_plan
    from mailstack.plan.outside import Outside
    from mailstack.reach.drift import decrypted_config, made_records

    if entries and as_json:
        raise wrong_call("--entries prints YAML for the stack file, --json a document: leave out one of them")
    plan = load_plan(decrypted_config(stack, ROOT), ROOT, outside=Outside(today=today()))
    files = _zone_files(zone_file or (), plan.dns.zones)
    made = made_records(stack, ROOT)
    raise typer.Exit(list_zones(plan, say, zone_files=files, ours=made, only_entries=entries, as_json=as_json))


@dns.command()
def diff(stack: StackOption, *, zone_file: ZoneFileOption = None, as_json: JsonOption = False) -> None:
    """Compare declared records with what the zones hold: missing, different, foreign. Changes nothing.

    Exits with 2 where one is missing or different, with 1 where a zone was not seen. Foreign records are told only.
    """
    from cli.dns_diff import diff_zones
    from mailstack.plan import load_plan
    from mailstack.plan.outside import Outside
    from mailstack.reach.drift import decrypted_config

    plan = load_plan(decrypted_config(stack, ROOT), ROOT, outside=Outside(today=today()))
    files = _zone_files(zone_file or (), plan.dns.zones)
    raise typer.Exit(diff_zones(plan, lambda text: say(named(text, stack)), zone_files=files, as_json=as_json))


@dns.command()
def flatten(stack: StackOption, *, as_json: JsonOption = False) -> None:
    """Look up the addresses behind flattened SPF includes; they are kept in spf.lock.json."""
    from cli.spf import flatten as look_up

    finish(stack, lambda tell: look_up(stack, root=ROOT, today=today(), say=tell), check=False, as_json=as_json)


@rotate.command()
def dkim(
    stack: StackOption,
    *,
    domain: Annotated[str, typer.Option("--domain", help="which of `domains`", show_default=False)],
    key_type: Annotated[KeyType, typer.Option("--key-type", help="which of its keys")] = KeyType.RSA,
    check: Annotated[
        bool, typer.Option("--check", help="only say it; exits with 2 where it may not be taken yet")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say the next step of a DKIM key rotation, and write it into the stack file where it may be taken."""
    from cli.dkim import rotate as step
    from mailstack.verify.around import Around
    from mailstack.verify.asking import Dns

    def take(tell: Callable[[str], None]) -> int:
        return step(
            stack,
            in_dns(domain),
            check=check,
            root=ROOT,
            today=today(),
            say=tell,
            asking=lambda: Dns(Around()),
            key_type=key_type.value,
        )

    finish(stack, take, check=check, as_json=as_json)


@dmarc.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="XML, .gz, .zip or a message", metavar="FILE...")],
    *,
    domain: Annotated[str | None, typer.Option("--domain", help="only this one")] = None,
    stack: Annotated[
        str | None, typer.Option("--stack", help="reads Pulumi.<stack>.yaml: what is ours, and the stage it is in")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say from aggregate reports whether a stricter DMARC policy is safe, and who would lose mail by it."""
    from cli.dmarc import report as judged

    raise typer.Exit(judged(files, domain=domain, stack=stack, as_json=as_json, root=ROOT, today=today(), say=say))
