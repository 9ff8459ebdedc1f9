"""The rehearsal ground by hand: ``python -m rehearsal.ground up NAME HOST... | down NAME | list | clean``."""

import argparse
import shlex
import sys
from collections.abc import Sequence

from rehearsal.ground.daemon import ensure_docker
from rehearsal.ground.errors import GroundError
from rehearsal.ground.hosts import Ground
from rehearsal.ground.image import remove_outdated_images
from rehearsal.ground.leftovers import clean_leftovers, pieces, remove_ground
from rehearsal.images import remove_outdated_images as remove_outdated_application_images

__all__ = ["main"]


def _progress(message: str) -> None:
    sys.stderr.write(f"[ground] {message}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.ground", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="boot hosts; they stay until `down`")
    up.add_argument("name", help="name of the ground")
    up.add_argument("hosts", nargs="+", help="names of the hosts")
    up.add_argument("--admin", action="store_true", help="log in as `admin` with sudo instead of root")
    up.add_argument("--no-internet", action="store_true", help="hosts reach only each other")
    down = commands.add_parser("down", help="remove a ground, whoever made it")
    down.add_argument("name", help="name of the ground")
    commands.add_parser("list", help="show what every ground consists of")
    clean = commands.add_parser("clean", help="remove what dead runs have left behind")
    clean.add_argument("--images", action="store_true", help="also remove images of older recipes")
    return parser


def _up(arguments: argparse.Namespace) -> None:
    ground = Ground(arguments.name, keep=True, internet=not arguments.no_internet, log=_progress)
    ground.up()
    for name in arguments.hosts:
        host = ground.create_host(name, admin_user=arguments.admin)
        sys.stdout.write(f"{name}: {shlex.join(host.ssh_command())}\n")


def _act(arguments: argparse.Namespace) -> None:
    if arguments.command == "up":
        _up(arguments)
        return
    ensure_docker(_progress)
    if arguments.command == "down":
        count = remove_ground(arguments.name)
        if count == 0:
            raise GroundError(f"There is no ground {arguments.name!r}. Fix: `list` shows those there are.")
        _progress(f"removed {count} Docker objects of ground {arguments.name}")
    elif arguments.command == "list":
        for piece in pieces():
            sys.stdout.write(f"{piece.describe()}\n")
    else:
        clean_leftovers(_progress)
        if arguments.images:
            remove_outdated_images(_progress)
            remove_outdated_application_images(_progress)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 failed (the reason is on stderr)."""
    try:
        _act(_parser().parse_args(argv))
    except GroundError as error:
        _progress(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
