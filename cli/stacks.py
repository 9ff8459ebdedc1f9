"""Commands about one stack: init, validate, drift, rehearse."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.common import ROOT, JsonOption, StackOption, say, tell, today

__all__ = ["drift", "init", "rehearse", "validate"]


def about(text: str) -> Any:
    """Return an option that says its default in its text."""
    return typer.Option(help=text, show_default=False)


def init(
    stack: StackOption,
    *,
    domain: Annotated[list[str] | None, about("domain mail is sent from, the main one first; several times")] = None,
    environment: Annotated[
        str | None, about("local, staging or prod (default: by the stack's name, else prod)")
    ] = None,
    placement: Annotated[str | None, about("what runs the relay: vm, docker or kubernetes (default: vm)")] = None,
    host: Annotated[str | None, about("user@address or user@address:port of the machine")] = None,
    host_key: Annotated[str | None, about("its public SSH key: algorithm and base64")] = None,
    host_fingerprint: Annotated[str | None, about("instead: SHA256:… that the key it shows has to have")] = None,
    public_ipv4: Annotated[
        str | None, about("address its mail leaves from (default: what it says, or its name has)")
    ] = None,
    public_ipv6: Annotated[str | None, about("the same for IPv6")] = None,
    context: Annotated[str | None, about("placement kubernetes: context in your kubeconfig")] = None,
    image: Annotated[str | None, about("placement kubernetes: image of the relay")] = None,
    egress_address: Annotated[
        list[str] | None, about("placement kubernetes: public address mail leaves the cluster from; several times")
    ] = None,
    upstream: Annotated[
        str | None, about("who takes the mail: google-workspace, sendgrid, ses, mailgun or custom")
    ] = None,
    upstream_region: Annotated[str | None, about("region of SES or Mailgun")] = None,
    upstream_host: Annotated[str | None, about("upstream custom: its host name")] = None,
    upstream_user: Annotated[
        str | None, about("login name there; for Google only where it is not to know you by address")
    ] = None,
    dns: Annotated[str | None, about("who publishes records: cloudflare, server (on the host) or none")] = None,
    tls: Annotated[
        str | None, about("certificates of Postal: acme, custom or internal; none: a relay without Postal")
    ] = None,
    certificate: Annotated[Path | None, about("tls custom: file with certificate and chain (PEM)")] = None,
    certificate_key: Annotated[Path | None, about("tls custom: file with its key (PEM)")] = None,
    contact: Annotated[
        str | None, about("mailbox for notices and reports (default: postmaster@ the main domain)")
    ] = None,
    secrets_provider: Annotated[
        str | None, about("who encrypts, as with pulumi stack init (default: passphrase)")
    ] = None,
    no_look: Annotated[bool, typer.Option("--no-look", help="ask no host and no DNS")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="take every default; only a host key is still confirmed")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the file of a new stack, and make the secrets a stack needs, encrypted into its file by Pulumi.

    Asks for what is not given. A file that is there is never changed, but for secrets it lacks. In a terminal it shows
    the host's key, and goes on once you know it; without a terminal every missing flag is named at once.
    """
    from cli.init import Options, Real, Terminal, init_stack
    from mailstack.reach.environment import named_resolvers

    given = {
        "domains": domain, "environment": environment, "placement": placement, "host_text": host, "context": context,
        "image": image, "egress": egress_address, "upstream": upstream, "region": upstream_region,
        "upstream_host": upstream_host, "username": upstream_user, "dns": dns, "tls": tls, "contact": contact,
        "certificate_file": None if certificate is None else str(certificate),
    }  # fmt: skip
    options = Options(
        stack=stack,
        given={key: value for key, value in given.items() if value},
        host_key=host_key,
        host_fingerprint=host_fingerprint,
        public_ipv4=public_ipv4,
        public_ipv6=public_ipv6,
        certificate_key=certificate_key,
        secrets_provider=secrets_provider,
        look=not no_look,
        yes=yes,
        as_json=as_json,
    )
    asker = Terminal() if sys.stdin.isatty() else None
    looks = Real(resolvers=named_resolvers(os.environ))
    raise typer.Exit(init_stack(options, root=ROOT, today=today(), asker=asker, looks=looks))


def validate(stack: StackOption) -> None:
    """Check a stack file without an engine, a host or its secrets."""
    from mailstack.plan import load_plan
    from mailstack.plan.outside import Outside
    from mailstack.settings.initialise import missing_secrets, rehearsal_config
    from mailstack.settings.stackfile import read_stack_file, throwaway
    from mailstack.settings.written import Written

    path = ROOT / f"Pulumi.{stack}.yaml"
    written = Written.in_file(path)
    plan = load_plan(rehearsal_config(path), written=[written], outside=Outside(today=today()))
    for step in missing_secrets(read_stack_file(path, throwaway)):
        say(f"still missing: {step.what}" + ("; `mailstack init` makes it" if step.ours else ""))
    if (close := written.warning()) is not None:
        say(f"soon too large: {close}")
    for sentence in plan.warnings:
        say(f"weakened on purpose: {sentence}")
    say(f"Pulumi.{stack}.yaml is valid. Encrypted values were not opened, so their content is unchecked.")


def drift(
    stack: StackOption,
    *,
    no_engine: Annotated[
        bool, typer.Option("--no-engine", help="without `pulumi preview --refresh`, for machines without the engine")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what is there with the declaration; changes nothing. Exits with 2 on a difference.

    The engine's preview with a refresh compares every resource it can read, the roles' --check what is on hosts. Exits
    with 1 where one of them could not look and the other found nothing.
    """
    from cli.drift import show_drift
    from mailstack.plan import load_plan
    from mailstack.reach.drift import decrypted_config, find_drift, own_kubeconfig
    from mailstack.reach.engine_drift import engine_drift, engine_preview

    plan = load_plan(decrypted_config(stack, ROOT))
    looks = {
        "engine": lambda: engine_drift(engine_preview(stack, ROOT)),
        "hosts": lambda: find_drift(plan, tell, own_cluster=lambda: own_kubeconfig(stack, ROOT)),
    }
    if no_engine:
        del looks["engine"]
    raise typer.Exit(show_drift(stack, looks, as_json=as_json))


def rehearse(
    stack: StackOption,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="leave the hosts up (remove: --down)")] = False,
    down: Annotated[bool, typer.Option("--down", help="only remove what an earlier --keep left")] = False,
) -> None:
    """Bring a stack up on throw-away hosts and send a message through it."""
    from rehearsal import rehearse as rehearsals  # needs Pulumi and Docker, the rest does not

    code = rehearsals.tear_down(stack, say) if down else rehearsals.rehearse(stack, say, keep=keep)
    raise typer.Exit(code)
