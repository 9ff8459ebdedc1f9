"""Commands about one stack: init, validate, drift, rehearse."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.common import ROOT, JsonOption, StackOption, called, print_json, say, tell, today
from cli.operate_options import YesOption
from cli.verify_options import wrong_call
from mailstack.settings.host_types import FirewallKind

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
    placement: Annotated[
        str | None, about("what runs the relay: vm, docker, kubernetes; none: Postal sends by itself (default: vm)")
    ] = None,
    host: Annotated[str | None, about("user@address or user@address:port of the machine")] = None,
    host_key: Annotated[str | None, about("its public SSH key: algorithm and base64")] = None,
    host_fingerprint: Annotated[str | None, about("instead: SHA256:… that the key it shows has to have")] = None,
    public_ipv4: Annotated[
        str | None, about("address its mail leaves from (default: what it says, or its name has)")
    ] = None,
    public_ipv6: Annotated[str | None, about("the same for IPv6")] = None,
    firewall: Annotated[FirewallKind | None, about("of the host (default: none)")] = None,
    security_updates: Annotated[
        bool, typer.Option("--security-updates", help="the host installs its system's security updates by itself")
    ] = False,
    docker_engine: Annotated[
        str | None, about("placement docker: engine of the host, or local for this machine's (default: host)")
    ] = None,
    postal: Annotated[
        str | None, about("where Postal runs: vm, kubernetes or none (default: vm beside a relay there, else none)")
    ] = None,
    context: Annotated[str | None, about("on a cluster: context in your kubeconfig")] = None,
    image: Annotated[str | None, about("placement kubernetes: image of the relay")] = None,
    egress_address: Annotated[
        list[str] | None, about("where no host of the stack sends: public address mail leaves from; several times")
    ] = None,
    database: Annotated[str | None, about("Postal on a cluster: name or address of its MariaDB")] = None,
    smtp_address: Annotated[
        list[str] | None, about("the same: address of its SMTP service's load balancer; several times")
    ] = None,
    web_address: Annotated[
        list[str] | None, about("the same: address of the ingress controller; several times")
    ] = None,
    ingress_namespace: Annotated[
        str | None, about("the same: namespace of the ingress controller (default: ingress-nginx)")
    ] = None,
    issuer: Annotated[str | None, about("tls cert-manager: name of the ClusterIssuer")] = None,
    tls_secret: Annotated[str | None, about("tls secret: Secret of namespace mail-postal with the certificate")] = None,
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
        str | None,
        about("certificates of Postal: acme, custom or internal; on a cluster cert-manager or secret; none: no Postal"),
    ] = None,
    certificate: Annotated[Path | None, about("tls custom: file with certificate and chain (PEM)")] = None,
    certificate_key: Annotated[Path | None, about("tls custom: file with its key (PEM)")] = None,
    contact: Annotated[
        str | None, about("mailbox for notices and reports (default: postmaster@ the first domain with mailboxes)")
    ] = None,
    secrets_provider: Annotated[
        str | None, about("who encrypts, as with pulumi stack init (default: passphrase)")
    ] = None,
    no_look: Annotated[bool, typer.Option("--no-look", help="ask no host, DNS, cluster or registry")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="take every default; only a host key is still confirmed")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the file of a new stack, and make the secrets a stack needs, encrypted into its file by Pulumi.

    Asks for what is not given. A file that is there is never changed, but for secrets it lacks; images of production
    that it does not pin are named. In a terminal it shows the host's key, and goes on once you know it; without a
    terminal every missing flag is named at once.
    """
    from cli.init import Options, Real, Terminal, init_stack
    from mailstack.reach.environment import named_resolvers

    given = {
        "domains": domain, "environment": environment, "placement": placement, "host_text": host, "context": context,
        "image": image, "egress": egress_address, "upstream": upstream, "region": upstream_region,
        "upstream_host": upstream_host, "username": upstream_user, "dns": dns, "tls": tls, "contact": contact,
        "engine": docker_engine, "postal": postal,
        "database": database, "smtp_addresses": smtp_address, "web_addresses": web_address,
        "ingress_namespace": ingress_namespace, "issuer": issuer, "tls_secret": tls_secret,
        "certificate_file": None if certificate is None else str(certificate),
    }  # fmt: skip
    options = Options(
        stack=stack,
        given={key: value for key, value in given.items() if value},
        host_key=host_key,
        host_fingerprint=host_fingerprint,
        public_ipv4=public_ipv4,
        public_ipv6=public_ipv6,
        firewall=firewall,
        security_updates=security_updates,
        certificate_key=certificate_key,
        secrets_provider=secrets_provider,
        look=not no_look,
        yes=yes,
        as_json=as_json,
    )
    asker = Terminal() if sys.stdin.isatty() else None
    looks = Real(resolvers=named_resolvers(os.environ), root=ROOT)
    raise typer.Exit(init_stack(options, root=ROOT, today=today(), asker=asker, looks=looks, called=called))


def validate(stack: StackOption, *, as_json: JsonOption = False) -> None:
    """Check a stack file without an engine, a host or its secrets."""
    from mailstack.plan import load_plan
    from mailstack.plan.outside import Outside
    from mailstack.settings.initialise import missing_secrets, rehearsal_config
    from mailstack.settings.problems import SettingsError
    from mailstack.settings.stackfile import read_stack_file, throwaway
    from mailstack.settings.written import Written
    from mailstack.start.pins import unpinned

    path = ROOT / f"Pulumi.{stack}.yaml"
    problems: list[dict[str, str]] = []
    missing: list[str] = []
    pins: list[str] = []
    close: str | None = None
    weakened: tuple[str, ...] = ()
    try:
        written = Written.in_file(path)
        plan = load_plan(rehearsal_config(path), written=[written], outside=Outside(today=today()))
    except SettingsError as error:
        if not as_json:
            raise
        problems = [
            {"field": one.field, "value": one.value, "rule": one.rule, "fix": one.fix} for one in error.problems
        ]
    else:
        raw = read_stack_file(path, throwaway)
        steps = missing_secrets(raw)
        if plan.settings.environment == "prod":
            pins = [f"image {pin.image}" for pin in unpinned(raw)]
        missing = [step.what + ("; `mailstack init` makes it" if step.ours else "") for step in steps]
        close, weakened = written.warning(), tuple(plan.warnings)
    if as_json:
        print_json(
            {
                "stack": stack, "valid": not problems, "problems": problems, "missing_secrets": missing,
                "unpinned": pins, "soon_too_large": close, "weakened": list(weakened),
            }
        )  # fmt: skip
        raise typer.Exit(int(bool(problems)))
    for what in missing:
        say(f"still missing: {what}")
    for what in pins:
        say(f"not pinned, which the policies refuse: {what}; `mailstack init` finds its digest")
    if close is not None:
        say(f"soon too large: {close}")
    for sentence in weakened:
        say(f"weakened on purpose: {sentence}")
    say(f"Pulumi.{stack}.yaml is valid. Encrypted values were not opened, so their content is unchecked.")


def drift(
    stack: StackOption,
    *,
    no_engine: Annotated[
        bool, typer.Option("--no-engine", help="without `pulumi preview --refresh`, for machines without the engine")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="where a host differs, run its role once more; asks first. `pulumi up` would not run it"
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what is there with the declaration; changes nothing without --repair. Exits with 2 on a difference.

    The engine's preview with a refresh compares every resource it can read, the roles' --check what is on hosts. Exits
    with 1 where one of them could not look and the other found nothing. What the engine can read, such as records,
    containers and objects, `pulumi up --refresh` brings back.
    """
    from cli.drift import look, repaired, show
    from mailstack.plan import load_plan
    from mailstack.reach.drift import decrypted_config, find_drift, own_kubeconfig
    from mailstack.reach.engine_drift import engine_drift, engine_preview

    if repair and no_engine:
        raise wrong_call("--repair needs the engine's look: it tells whether something was declared and not brought up")
    plan = load_plan(decrypted_config(stack, ROOT))
    unseen: dict[str, str] = {}
    looks = {
        "engine": lambda: engine_drift(engine_preview(stack, ROOT)),
        "hosts": lambda: find_drift(plan, tell, own_cluster=lambda: own_kubeconfig(stack, ROOT), unseen=unseen),
    }
    if no_engine:
        del looks["engine"]
    looked = look(looks, unseen=unseen)
    done = repaired(plan, looked, yes=yes) if repair else None
    raise typer.Exit(show(stack, looked, done, as_json=as_json))


def rehearse(
    stack: StackOption,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="leave the hosts up (remove: --down)")] = False,
    down: Annotated[bool, typer.Option("--down", help="only remove what an earlier --keep left")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a stack up on throw-away hosts and send a message through it."""
    from rehearsal import rehearse as rehearsals  # needs Pulumi and Docker, the rest does not

    told = tell if as_json else say
    if down:
        code = rehearsals.tear_down(stack, told)
        if as_json:
            print_json({"stack": stack, "removed": code == 0})
    else:
        code = rehearsals.rehearse(stack, told, keep=keep, report=print_json if as_json else None)
    raise typer.Exit(code)
