"""How the answers of `mailstack postal` look to people."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cli.operate_show import console_of, table_of
from mailstack.operate.ages import age

__all__ = [
    "restore_told",
    "show_backup",
    "show_backups",
    "show_credentials",
    "show_servers",
    "show_status",
    "show_upgrade",
    "show_users",
]

GIGABYTE = 1024**3


def show_status(found: Mapping[str, Any], stack: str) -> None:
    """Print the whole of it on one screen."""
    from rich.text import Text

    console = console_of()
    console.print(Text(f"Postal of {stack}: {found['image']}", style="bold"))
    table = table_of("process", "health", "restarts", "since", "image")
    for one in found["processes"]:
        health = (one["health"] or "running") if one["running"] else "not running"
        style = "green" if health in {"healthy", "running"} else "yellow" if health == "starting" else "red"
        table.add_row(
            one["service"], Text(health, style=style), str(one["restarts"]), one["started"][:19], Text(one["image"])
        )
    console.print(table)
    database = found["database"]
    if not database["error"]:
        console.print(f"database: {database['version']}, {database['bytes'] / GIGABYTE:.2f} GB")
    for disk in found["disk"]:
        console.print(f"disk: {disk['path']} {disk['free'] / GIGABYTE:.1f} of {disk['bytes'] / GIGABYTE:.1f} GB free")
    backup = found["backup"]
    if backup is not None and backup["age_seconds"] is not None:
        console.print(f"last backup: {age(backup['age_seconds'])} ago, {backup['file']}")
    if found["servers"] is not None:
        _print_counts(console, found["servers"])
    for problem in found["problems"]:
        console.print(Text(f"wrong: {problem}", style="red"))
    if not found["problems"]:
        console.print(Text("nothing is wrong", style="green"))


def _print_counts(console: Any, servers: Sequence[Mapping[str, Any]]) -> None:
    table = table_of("mail server", "mode", "waiting", "held", "oldest", "tries")
    for one in servers:
        oldest = age(one["oldest_seconds"]) if one["waiting"] else ""
        table.add_row(
            one["server"], one["mode"], str(one["waiting"]), str(one["held"]), oldest, str(one["attempts"] or "")
        )
    console.print(table)


def show_servers(servers: Sequence[Mapping[str, Any]]) -> None:
    """Print counts, reasons and messages of each mail server."""
    from rich.text import Text

    console = console_of()
    _print_counts(console, servers)
    for one in servers:
        if not one["messages"]:
            continue
        console.print(Text(f"\n{one['server']}", style="bold"))
        table = table_of("number", "reason")
        for reason, count in one["reasons"].items():
            table.add_row(str(count), Text(reason))
        console.print(table)
        table = table_of("id", "state", "age", "from", "to")
        for message in one["messages"]:
            state = "held" if message["held"] else message["status"]
            table.add_row(
                str(message["id"]), state, age(message["age_seconds"]), Text(message["from"]), Text(message["to"])
            )
        console.print(table)


def show_backup(made: Mapping[str, Any]) -> None:
    """Print where a backup is and what is in it."""

    counts = (made["manifest"] or {}).get("counts", {})
    held = ", ".join(f"{count} {name}" for name, count in counts.items())
    console_of().print(f"{made['file']}, {made['bytes'] / 1024**2:.1f} MB: {held}", soft_wrap=True)


def show_backups(found: Sequence[Mapping[str, Any]]) -> None:
    """Print the backups that are there."""

    console = console_of()
    if not found:
        console.print("there is no backup yet")
        return
    table = table_of("made (UTC)", "MB", "file")
    for one in found:
        table.add_row(_time(one["written"]), f"{one['bytes'] / 1024**2:.1f}", one["file"])
    console.print(table)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def restore_told(before: Mapping[str, Any], *, with_config: bool) -> list[str]:
    """Return what a restore brings and what is lost by it."""
    manifest, now = before["archive"]["manifest"], before["now"]
    counts = manifest["counts"]
    held = f"{counts['messages']} messages, {counts['servers']} mail servers, {counts['credentials']} keys"
    made = f"made {manifest['created']} by {manifest['postal_image']}"
    lines = [f"comes: {before['archive']['file']}, {made}: {held}"]
    if now["messages"] is None:
        lines.append(f"goes: what could not be counted, since the database does not answer: {now['error']}")
    elif now["messages"]:
        lines.append(f"goes: {now['messages']} messages in {len(now['databases'])} databases; a dump of them is made")
    else:
        lines.append(f"goes: {len(now['databases'])} databases without a message, of which no dump is made")
    unknown = sorted(set(now["databases"]) - set(manifest["databases"]))
    if unknown:
        lines.append(f"      of them {', '.join(unknown)}, which the backup does not know")
    if now["messages"] != 0:
        lines.append(f"      what was sent or received since {manifest['created']} is in that dump only")
    lines.append("Postal stops meanwhile: senders try again later, as mail servers do")
    if with_config:
        lines.append("configuration and keys of the host are replaced too: applications may need those of the backup")
    return lines


def show_upgrade(report: Mapping[str, Any], stack: str) -> None:
    """Print what is, what is wrong, and the next steps."""
    from rich.text import Text

    console = console_of()
    console.print(f"running: {report['running']}; declared: {report['to'] or report['declared']}")
    for problem in report["problems"]:
        console.print(Text(f"wrong now, mend it before: {problem}", style="red"))
    if report["backup"] is not None:
        console.print(f"backup: {report['backup']['file']}", soft_wrap=True)
    running = report["release"]
    if report["to"] is not None and report["to"] == running:
        console.print(f"the upgrade is given up. next: pulumi up --stack {stack}, which runs nothing on the host")
        return
    if running == report["declared"] and report["to"] is None:
        console.print(f"nothing to do. Another release: mailstack postal upgrade --stack {stack} --to RELEASE")
        return
    if report["to"] is None:
        back = f"mailstack postal upgrade --stack {stack} --to {running}" if running else "tag and digest as they were"
        console.print(f"not gone to yet. To give it up: {back}")
    for step in (
        "read Postal's changelog between the two releases",
        f"pulumi preview --stack {stack}   # one command changes: postal",
        f"pulumi up --stack {stack}        # pulls, tries, dumps, migrates, starts; goes back when that fails",
        f"mailstack postal status --stack {stack}",
    ):
        console.print(Text(f"next: {step}"), soft_wrap=True)


def show_users(users: Sequence[Mapping[str, Any]], stack: str) -> None:
    """Print who may log in."""
    from rich.text import Text

    table = table_of("email", "name", "administrator", "declared", "since (UTC)")
    for one in users:
        table.add_row(
            Text(one["email"]), Text(one["name"]), "yes" if one["admin"] else "", "yes" if one["declared"] else "",
            one["created"][:19],
        )  # fmt: skip
    console_of().print(table)
    console_of().print(f"a further one: mailstack postal user create --stack {stack} EMAIL", style="dim")


def show_credentials(found: Sequence[Mapping[str, Any]]) -> None:
    """Print the keys by name."""
    from rich.text import Text

    table = table_of("mail server", "name", "type", "hold", "declared", "last used (UTC)")
    for one in found:
        table.add_row(
            one["server"], Text(one["name"]), one["type"], "yes" if one["hold"] else "",
            "yes" if one["declared"] else Text("no", style="yellow"), (one["last_used"] or "never")[:19],
        )  # fmt: skip
    console_of().print(table)
