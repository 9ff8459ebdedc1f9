"""The two programs on the host: ``mailstack-postal-backup`` and ``mailstack-postal-restore FILE``."""

import argparse
import json
import os
import sys
from typing import List, Optional

from postal import paths
from postal.backup.archive import BackupError, Plan, only_one
from postal.backup.dump import backup
from postal.backup.restore import restore
from rolelib.commands import CommandError, redact
from rolelib.host import RoleError

__all__ = ["backup_main", "restore_main"]


def backup_main(arguments: Optional[List[str]] = None) -> int:
    """Make one backup; 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(description="Back up all of Postal's databases and its configuration.")
    parser.parse_args(arguments)
    return _guarded(lambda: sys.stdout.write(backup(Plan.load()) + "\n"))


def restore_main(arguments: Optional[List[str]] = None) -> int:
    """Restore one backup; 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(description="Restore Postal from a backup made by mailstack-postal-backup.")
    parser.add_argument("file", help="the archive, .tar or .tar.enc")
    parser.add_argument("--replace", action="store_true", help="the mail on this host may go (it is backed up first)")
    parser.add_argument("--with-config", action="store_true", help="the backup's configuration and keys, too")
    parser.add_argument("--passphrase-file", help="of an encrypted archive; default: the host's own")
    given = parser.parse_args(arguments)
    passphrase = given.passphrase_file or (paths.PASSPHRASE if os.path.exists(paths.PASSPHRASE) else None)

    def work() -> None:
        manifest = restore(given.file, given.replace, given.with_config, passphrase)
        sys.stdout.write(json.dumps({"restored": manifest["created"], "counts": manifest["counts"]}) + "\n")

    return _guarded(work)


def _guarded(work: "object") -> int:
    if os.geteuid() != 0:
        sys.stderr.write("only root can do this\n")
        return 1
    os.umask(0o077)
    try:
        with only_one():
            work()  # type: ignore[operator]
    except (BackupError, RoleError, CommandError, OSError) as error:
        sys.stderr.write(redact(f"{error}\n"))
        return 1
    return 0
