"""The command line: ``mailstack init | validate | rehearse | drift | rotate | dmarc | dns | schema | monitoring``."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from cli.dkim import rotate
from cli.dmarc import report
from cli.spf import flatten
from mailstack.monitoring import JOB, checked_job, dashboard_text, rules_text
from mailstack.plan import load_plan
from mailstack.plan.outside import Outside
from mailstack.reach.drift import decrypted_config, find_drift, own_kubeconfig
from mailstack.settings.initialise import InitError, initialise, missing_secrets, rehearsal_config
from mailstack.settings.problems import SettingsError
from mailstack.settings.schema import settings_reference, stack_file_schema
from mailstack.settings.stackfile import StackFileError, read_stack_file, throwaway
from mailstack.settings.written import Written
from mailstack.verify.around import Around
from mailstack.verify.asking import Dns

__all__ = ["commands", "main"]

# The exit code of a role's --check, and of this command, when something differs.
EXIT_DRIFT = 2
ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when it worked, 1 when something is wrong, 2 for a wrong call or for drift."""
    parser = argparse.ArgumentParser(
        prog="mailstack", description="Mail stack as code: helpers around the Pulumi program."
    )
    parsers = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("init", "make the secrets a stack needs, encrypted into its file by Pulumi"),
        ("validate", "check a stack file without an engine, a host or its secrets"),
        ("drift", "compare hosts and records with the declaration; changes nothing, exits with 2 on a difference"),
        ("rehearse", "bring a stack up on throw-away hosts and send a message through it"),
    ):
        # The files we write on hosts call it `mailstack check`, after the --check of the roles.
        aliases = ["check"] if name == "drift" else []
        command = parsers.add_parser(name, aliases=aliases, help=text, description=text)
        command.add_argument("--stack", required=True, help="stack name: reads Pulumi.<stack>.yaml")
        if name == "rehearse":
            command.add_argument("--keep", action="store_true", help="leave the hosts up (remove: --down)")
            command.add_argument("--down", action="store_true", help="only remove what an earlier --keep left")
    schema = parsers.add_parser("schema", help="print the JSON schema of a stack file")
    schema.add_argument("--write", action="store_true", help="write it, and settings.md, to docs/reference")
    monitoring = parsers.add_parser("monitoring", help="print alerting rules or a dashboard for the relay's metrics")
    monitoring.add_argument("what", choices=("rules", "dashboard"), help="for Prometheus (YAML) or for Grafana (JSON)")
    monitoring.add_argument(
        "--job", type=checked_job, default=JOB, help=f"name of the scrape job in Prometheus, {JOB} unless said"
    )
    _add_records(parsers)
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except (SettingsError, StackFileError, InitError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _add_records(parsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rotate = parsers.add_parser("rotate", help="say and take the next step of a DKIM key rotation")
    rotate.add_argument("what", choices=("dkim",))
    rotate.add_argument("--stack", required=True, help="stack name: reads and changes Pulumi.<stack>.yaml")
    rotate.add_argument("--domain", required=True, help="which of `domains`")
    rotate.add_argument("--key-type", choices=("rsa", "ed25519"), default="rsa", help="which of its keys")
    rotate.add_argument("--check", action="store_true", help="only say it; exits with 2 where it may not be taken yet")
    dmarc = parsers.add_parser("dmarc", help="say from aggregate reports whether a stricter DMARC policy is safe")
    dmarc.add_argument("what", choices=("report",))
    dmarc.add_argument("files", nargs="+", type=Path, metavar="FILE", help="XML, .gz, .zip or a message")
    dmarc.add_argument("--domain", help="only this one")
    dmarc.add_argument("--stack", help="reads Pulumi.<stack>.yaml: what is ours, and the stage it is in")
    dmarc.add_argument("--json", action="store_true", help="for machines")
    flatten = parsers.add_parser("dns", help="look up the addresses behind flattened SPF includes")
    flatten.add_argument("what", choices=("flatten",))
    flatten.add_argument("--stack", required=True, help="stack name: reads Pulumi.<stack>.yaml")


def _today() -> date:
    return datetime.now(UTC).date()


def _rotate(options: argparse.Namespace) -> int:
    return rotate(
        options.stack,
        options.domain,
        check=options.check,
        root=ROOT,
        today=_today(),
        say=_say,
        asking=lambda: Dns(Around()),
        key_type=options.key_type,
    )


def _dmarc(options: argparse.Namespace) -> int:
    return report(
        options.files,
        domain=options.domain,
        stack=options.stack,
        as_json=options.json,
        root=ROOT,
        today=_today(),
        say=_say,
    )


def _flatten(options: argparse.Namespace) -> int:
    return flatten(options.stack, root=ROOT, today=_today(), say=_say)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _init(options: argparse.Namespace) -> int:
    for step in initialise(options.stack, ROOT, _say):
        command = f"pulumi config set --secret --path '{step.path}' --stack {options.stack}"
        _say(f"still needed: {step.what}. Set it with: {command}")
    return 0


def _validate(options: argparse.Namespace) -> int:
    path = ROOT / f"Pulumi.{options.stack}.yaml"
    written = Written.in_file(path)
    plan = load_plan(rehearsal_config(path), written=[written], outside=Outside(today=_today()))
    for step in missing_secrets(read_stack_file(path, throwaway)):
        _say(f"still missing: {step.what}" + ("; `mailstack init` makes it" if step.ours else ""))
    if (close := written.warning()) is not None:
        _say(f"soon too large: {close}")
    for sentence in plan.warnings:
        _say(f"weakened on purpose: {sentence}")
    _say(f"Pulumi.{options.stack}.yaml is valid. Encrypted values were not opened, so their content is unchecked.")
    return 0


def _schema(options: argparse.Namespace) -> int:
    if options.write:
        (ROOT / "docs/reference/stack.schema.json").write_text(stack_file_schema())
        (ROOT / "docs/reference/settings.md").write_text(settings_reference())
    else:
        sys.stdout.write(stack_file_schema())
    return 0


def _monitoring(options: argparse.Namespace) -> int:
    sys.stdout.write(rules_text(job=options.job) if options.what == "rules" else dashboard_text(job=options.job))
    return 0


def _drift(options: argparse.Namespace) -> int:
    plan = load_plan(decrypted_config(options.stack, ROOT))
    drift = find_drift(plan, _say, own_cluster=lambda: own_kubeconfig(options.stack, ROOT))
    for difference in drift:
        _say(f"drift: {difference}")
    _say(f"{len(drift)} differences" if drift else "hosts, objects and records are as declared")
    return EXIT_DRIFT if drift else 0


def _rehearse(options: argparse.Namespace) -> int:
    from rehearsal.rehearse import rehearse, tear_down  # noqa: PLC0415 - needs Pulumi and Docker, the rest does not

    if options.down:
        return tear_down(options.stack, _say)
    return rehearse(options.stack, _say, keep=options.keep)


_COMMANDS = {
    "init": _init,
    "validate": _validate,
    "schema": _schema,
    "monitoring": _monitoring,
    "drift": _drift,
    "check": _drift,
    "rehearse": _rehearse,
    "rotate": _rotate,
    "dmarc": _dmarc,
    "dns": _flatten,
}


def commands() -> tuple[str, ...]:
    """Return the names of all commands."""
    return tuple(_COMMANDS)
