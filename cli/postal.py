"""Commands about a running Postal: status, queue, logs, backup, restore, upgrade, user, credential."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import ROOT, JsonOption, StackOption, print_json, say, tell
from cli.following import follow_all
from cli.operate_options import (
    IdentityOption,
    SinceOption,
    YesOption,
    agree,
    duration,
    entry_of,
)
from cli.verify_options import wrong_call

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mailstack.operate.postal import Postal
    from mailstack.settings.postal_model import PostalImage

__all__ = ["postal"]

postal = typer.Typer(help="The running Postal: processes, queue, log, backups, logins and keys.", no_args_is_help=True)
user = typer.Typer(help="Who may log in to the web UI.", no_args_is_help=True)
credential = typer.Typer(help="The keys that applications send with.", no_args_is_help=True)
postal.add_typer(user, name="user")
postal.add_typer(credential, name="credential")

NOTHING_YET = "Nothing on the host changes until `pulumi up`."
ServerOption = Annotated[
    str | None, typer.Option("--server", help="only this mail server, such as company/apps", show_default=False)
]


def _postal(stack: str, identity: "Path | None") -> "Postal":
    from mailstack.operate.postal import Postal

    return Postal(entry=entry_of(stack, identity))


def _problems(of: "Postal", found: "Mapping[str, Any]") -> list[str]:
    from mailstack.operate.postal_health import problems

    return [str(one) for one in problems(found, of.entry.stack, of.at)]


@postal.command("status")
def status(stack: StackOption, *, identity: IdentityOption = None, as_json: JsonOption = False) -> None:
    """Show processes, versions, queue, room on the disk and the last backup. Exits with 1 where something is wrong."""
    from cli.operate_postal_show import show_status

    running = _postal(stack, identity)
    found = running.status()
    found["problems"] = _problems(running, found)
    print_json(found) if as_json else show_status(found, stack)
    raise typer.Exit(1 if found["problems"] else 0)


@postal.command("queue")
def queue(
    stack: StackOption,
    *,
    server: ServerOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="how many messages of each server")] = 20,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what waits and what is held in each mail server, and why."""
    from cli.operate_postal_show import show_servers

    found = _postal(stack, identity).queue(limit)
    chosen = [one for one in found if server in {None, one["server"]}]
    if server is not None and not chosen:
        raise wrong_call(
            f"--server {server}: the mail servers are {', '.join(one['server'] for one in found) or 'none'}"
        )
    print_json(chosen) if as_json else show_servers(chosen)


@postal.command("logs")
def logs(
    stack: StackOption,
    process: Annotated[
        str | None, typer.Argument(help="web, smtp or worker (default: all)", show_default=False)
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes, until Ctrl-C")] = False,
    since: SinceOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="the last of each process")] = 100,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of Postal's processes. Exits with 1 where one could not be asked."""
    if follow and as_json:
        raise wrong_call("--json is one document, and a log that is followed has no end: leave out one of them")
    found, seconds = _postal(stack, identity), duration("--since", since)
    if follow:
        follow_all(found.followers(process, since=seconds, limit=lines))
        return
    told, unseen = found.logs(process, since=seconds, limit=lines)
    for name, why in unseen.items():
        tell(f"{name} could not be asked: {why}")
    if as_json:
        print_json({"unseen": unseen, "places": told})
        raise typer.Exit(int(bool(unseen)))
    for name, texts in told.items():
        for line in texts:
            say(f"{name}  {line}" if len(told) > 1 else line)
    raise typer.Exit(int(bool(unseen)))


@postal.command("backup")
def backup(
    stack: StackOption,
    *,
    list_only: Annotated[bool, typer.Option("--list", help="only list those that are there")] = False,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a backup now: every database, configuration and keys, in one file on Postal's host."""
    from cli.operate_postal_show import show_backup, show_backups

    found = _postal(stack, identity)
    if list_only:
        told = found.backups()
        print_json(told) if as_json else show_backups(told)
        return
    made = found.backup(tell)
    print_json(made) if as_json else show_backup(made)


@postal.command("restore")
def restore(
    stack: StackOption,
    file: Annotated[
        str,
        typer.Argument(help="path of the backup on Postal's host (default: the newest, not a dump before a restore)"),
    ] = "",
    *,
    with_config: Annotated[
        bool, typer.Option("--with-config", help="also bring back configuration and keys; else the host's stay")
    ] = False,
    identity: IdentityOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replace all of Postal's mail by that of a backup; what is there is dumped first. Mail stops meanwhile."""
    from cli.operate_postal_show import restore_told

    found = _postal(stack, identity)
    before = found.restore(file, with_config=with_config, say=tell, agreed=False)
    path = str(before["archive"]["file"])
    agree(restore_told(before, with_config=with_config), yes=yes, word="restore")
    done = found.restore(path, with_config=with_config, say=tell, agreed=True)
    if as_json:
        print_json({"archive": done["archive"], "before": before["now"], "restored": done["restored"]})
        return
    say(f"restored {path}, made {done['restored']['restored']}: {done['restored']['counts']['messages']} messages")
    say(f"next: mailstack drift --stack {stack} compares what is declared with what came back")


@postal.command("upgrade")
def upgrade(
    stack: StackOption,
    to: Annotated[
        str | None, typer.Option("--to", help="release, such as 3.3.8; without it nothing changes", show_default=False)
    ] = None,
    *,
    backup_first: Annotated[
        bool, typer.Option("--backup/--no-backup", help="make a backup before the setting changes")
    ] = True,
    identity: IdentityOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check what an upgrade meets, and with --to prepare it: a backup, then the setting. `pulumi up` performs it.

    An upgrade is a change of the declaration (postal.image.tag): this command never runs `pulumi up` itself.
    """
    from cli.operate_postal_show import show_upgrade
    from mailstack.operate.postal import UpgradeError, upgrade_problem
    from mailstack.settings.stackfile import PROJECT

    found = _postal(stack, identity)
    now = found.status()
    declared = found.entry.plan.settings.postal
    if declared is None:
        raise wrong_call(f"the settings of stack {stack} declare no Postal any more")
    release = _release(str(now["image"]), declared.image)
    running = release or ""
    report: dict[str, Any] = {
        "running": now["image"], "release": release, "declared": declared.image.tag, "to": to,
        "problems": _problems(found, now), "backup": None,
    }  # fmt: skip
    if to is not None:
        if declared.image.digest is not None:
            raise UpgradeError(
                "postal.image.digest pins the image, so tag and digest change together, here and when it is given up: "
                f"pulumi config set --path '{PROJECT}:postal.image.tag' {to} --stack {stack}; "
                f"pulumi config set --path '{PROJECT}:postal.image.digest' DIGEST --stack {stack}. DIGEST is what "
                f"`docker buildx imagetools inspect {declared.image.repository}:{to}` shows. Make a backup first: "
                f"mailstack postal backup --stack {stack}"
            )
        # After an upgrade that failed, the old release runs and the new one is declared: every `pulumi up` tries again.
        given_up = to == running != declared.image.tag
        problem = None if given_up else upgrade_problem(running, to)
        if problem is not None:
            raise UpgradeError(f"--to {problem}")
        # On a cluster the data is in the database alone: its operator or provider backs that up.
        backup_first = backup_first and not given_up and found.at.host is not None
        first = "a backup is made, then " if backup_first else "WITHOUT a backup, "
        what = f"Postal {running} -> {to}: {first}postal.image.tag becomes {to} in Pulumi.{stack}.yaml."
        if given_up:
            what = (
                f"Postal {to} runs: postal.image.tag goes back from {declared.image.tag} to it in Pulumi.{stack}.yaml."
            )
        agree([*(f"wrong now: {text}" for text in report["problems"]), what, NOTHING_YET], yes=yes)
        if backup_first:
            report["backup"] = found.backup(tell)
            tell(f"{report['backup']['file']} is made")  # it stays, also where the setting cannot be written
        _set_tag(stack, to)
    print_json(report) if as_json else show_upgrade(report, stack)


def _release(running: str, declared: "PostalImage") -> str | None:
    """Return the release of the image that runs; None for a digest that is not the declared one's."""
    from mailstack.postal.compose import image_reference

    if running == image_reference(declared.model_dump()):
        return declared.tag
    return None if "@" in running else running.rpartition(":")[2]


def _set_tag(stack: str, tag: str) -> None:
    from mailstack.settings.initialise import run_pulumi
    from mailstack.settings.stackfile import PROJECT

    run_pulumi(["config", "set", "--path", f"{PROJECT}:postal.image.tag", "--stack", stack], tag, ROOT)


@user.command("list")
def user_list(stack: StackOption, *, identity: IdentityOption = None, as_json: JsonOption = False) -> None:
    """List who may log in to the web UI, and who of them is declared."""
    from cli.operate_postal_show import show_users

    found = _postal(stack, identity).users()
    print_json(found) if as_json else show_users(found, stack)


@user.command("create")
def user_create(
    stack: StackOption, email: Annotated[str, typer.Argument(help="address, which is the login name")], *,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Say where a further login is made: in the web UI, by the declared administrator. Changes nothing."""
    at = _postal(stack, None).at
    told = {
        "email": email,
        "link": f"{at.web_url}/users/new",
        "declared": email in at.users,
        "how": "log in as the declared administrator and make the user there. The stack declares one administrator "
        "(postal.admin) and leaves every further user alone; nothing of it is undone by `pulumi up`.",
    }
    if as_json:
        print_json(told)
        return
    say(f"{told['link']}\n{told['how']}")


@user.command("reset-password")
def user_reset(
    stack: StackOption, email: Annotated[str, typer.Argument(help="login name")], *, as_json: JsonOption = False
) -> None:
    """Say where a new password is made: Postal's own link for a person, the setting for the declared administrator."""
    at = _postal(stack, None).at
    if email in at.users:
        how = f"pulumi config set --secret --path mailstack:postal.admin.password --stack {stack}, then pulumi up"
        told = {"email": email, "declared": True, "link": None, "how": how}
    else:
        how = "Postal sends a link to that address, by its own mail"
        told = {"email": email, "declared": False, "link": f"{at.web_url}/login/reset", "how": how}
    if as_json:
        print_json(told)
        return
    say(f"{told['link']}: {how}" if told["link"] else f"{email} is declared (postal.admin): {how}")


@credential.command("list")
def credential_list(
    stack: StackOption, *, server: ServerOption = None, identity: IdentityOption = None, as_json: JsonOption = False
) -> None:
    """List the keys by name: kind, held or not, last used, declared or not. Never a key itself."""
    from cli.operate_postal_show import show_credentials

    known = _postal(stack, identity).credentials()
    found = [one for one in known if server in {None, one["server"]}]
    if server is not None and not found:
        names = ", ".join(sorted({one["server"] for one in known}))
        raise wrong_call(f"--server {server} has no keys; mail servers that have are {names or 'none'}")
    print_json(found) if as_json else show_credentials(found)


@credential.command("show")
def credential_show(
    stack: StackOption,
    server: Annotated[str, typer.Option("--server", help="mail server, such as company/apps")],
    name: Annotated[str, typer.Option("--credential", help="its name")],
    *,
    show_secret: Annotated[bool, typer.Option("--show-secret", help="print the key, to a pipe or a terminal")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how an application uses a declared key; the key itself only with --show-secret."""
    from mailstack.reach.outputs import mail_servers

    servers = mail_servers(stack, ROOT)
    if server not in servers:
        raise wrong_call(f"--server {server}: the mail servers are {', '.join(servers) or 'none'}")
    known = servers[server]
    kinds = {"SMTP": known["smtp_keys"], "API": known["api_keys"]}
    found = [
        {
            "server": server, "name": name, "type": kind, "key": keys[name] if show_secret else None,
            **({"smtp_host": known["smtp_host"], "smtp_port": known["smtp_port"], "smtp_user": known["smtp_user"]}
               if kind == "SMTP" else {"api_url": known["api_url"]}),
        }
        for kind, keys in kinds.items() if name in keys
    ]  # fmt: skip
    if not found:
        names = sorted({*known["smtp_keys"], *known["api_keys"]})
        raise wrong_call(f"--credential {name}: {server} has {', '.join(names) or 'none'}")
    if as_json:
        print_json(found)
        return
    told = ["\n".join(f"{key}: {value}" for key, value in one.items() if value is not None) for one in found]
    say("\n\n".join(told))
    if not show_secret:
        sys.stderr.write("the key is not shown; --show-secret does\n")


@credential.command("revoke")
def credential_revoke(
    stack: StackOption,
    server: Annotated[str, typer.Option("--server", help="mail server, such as company/apps")],
    name: Annotated[str, typer.Option("--credential", help="its name")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Say how a key is revoked or held: it is declared, so by the declaration. Changes nothing."""
    at = _postal(stack, None).at
    if name not in at.credentials.get(server, ()):
        raise wrong_call(
            f"{server} declares no credential {name!r}: it has {', '.join(at.credentials.get(server, ())) or 'none'}"
        )
    told = {
        "server": server,
        "name": name,
        "hold": f"in Pulumi.{stack}.yaml give credential {name!r} of {server} `hold: true`, then pulumi up",
        "revoke": "take it out there with postal.removal: allow, then pulumi up; nothing sends with it after that",
        "replace": f"mailstack rotate postal-credential {name} --server {server} --stack {stack}, then pulumi up",
    }
    if as_json:
        print_json(told)
        return
    say(f"hold its mail: {told['hold']}\nrevoke it: {told['revoke']}\nanother key in its place: {told['replace']}")
