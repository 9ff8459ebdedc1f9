"""Postal's databases as MariaDB's own programs see them, from a throw-away container of the client image."""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from typing import Any, Dict, List

from postal.backup.archive import BackupError, Plan
from rolelib.commands import redact, run
from rolelib.mariadb_client import Connection, input_for, once

__all__ = ["counts", "drop_all", "dump_to", "load_from", "message_count", "names", "query", "require_space"]

BLOCK = 1024 * 1024
# On top of what the databases take: the archive's own overhead, and room to breathe for MariaDB.
SPARE_BYTES = 200 * 1024 * 1024
DUMP_OPTIONS = (
    "--single-transaction",
    "--quick",
    "--hex-blob",
    "--routines",
    "--triggers",
    "--skip-lock-tables",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
)
# The last line of a dump that was written to its end.
COMPLETE = b"-- Dump completed"


def _connection(plan: Plan) -> Connection:
    database = plan.database
    return Connection(database["username"], database["password"], database["host"], database["port"])


def _command(plan: Plan, program: str, arguments: List[str]) -> List[str]:
    return once(plan.database["client_image"], plan.network, program, arguments)


def query(plan: Plan, sql: str) -> List[List[str]]:
    """Return the rows of ``sql``. Raises BackupError with the server's words."""
    argv = _command(plan, "mariadb", ["--batch", "--skip-column-names"])
    result = run(argv, stdin=input_for(_connection(plan)) + sql, check=False, timeout=300)
    if not result.ok:
        raise BackupError(redact(f"the database does not answer: {result.err.strip()[-500:]}"))
    return [line.split("\t") for line in result.out.splitlines()]


def names(plan: Plan) -> List[str]:
    """Return the main database, where it exists, and all message databases."""
    main, prefix = plan.database["main"], plan.database["prefix"]
    mine = re.compile(re.escape(prefix) + r"-server-[0-9]+\Z")
    found = [row[0] for row in query(plan, "SHOW DATABASES;\n")]
    return [name for name in found if name == main] + sorted(name for name in found if mine.match(name))


def require_space(plan: Plan) -> None:
    """Raise BackupError where the disk might not take a dump. Compression is not counted on: mail can be random."""
    sql = "SELECT table_schema, COALESCE(SUM(data_length), 0) FROM information_schema.tables GROUP BY table_schema;\n"
    sizes = {row[0]: int(float(row[1])) for row in query(plan, sql)}
    # The dump is written compressed, then put into the archive: twice on the disk for a moment.
    needed = sum(sizes.get(name, 0) for name in names(plan)) + SPARE_BYTES
    os.makedirs(plan.directory, mode=0o700, exist_ok=True)
    free = shutil.disk_usage(plan.directory).free
    if free < needed:
        raise BackupError(
            f"{plan.directory} has {free // BLOCK} MB free, a dump may need {needed // BLOCK} MB: "
            "free some there, or mount a larger disk at that place"
        )


def message_count(plan: Plan, databases: List[str]) -> int:
    """Return how many messages the message databases hold; a database without that table counts as none."""
    owners = query(plan, "SELECT table_schema FROM information_schema.tables WHERE table_name = 'messages';\n")
    listed = [name for name in databases if [name] in owners]
    if not listed:
        return 0
    sums = " + ".join(f"(SELECT COUNT(*) FROM `{name}`.messages)" for name in listed)  # noqa: S608 - from `names`
    return int(query(plan, f"SELECT {sums};\n")[0][0])


def dump_to(plan: Plan, path: str) -> List[str]:
    """Write one consistent dump of all databases to ``path`` (gzip) and return their names. Raises BackupError."""
    listed = names(plan)
    if not listed:
        raise BackupError("there is no database of Postal's to dump")
    argv = _command(plan, "mariadb-dump", [*DUMP_OPTIONS, "--databases", *listed])
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        try:
            tail = _compress(process, input_for(_connection(plan)), path)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait() != 0 or COMPLETE not in tail:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-500:]
            raise BackupError(redact(f"the dump is not complete: {said or 'it ended early'}"))
    if names(plan) != listed:
        raise BackupError("a mail server was added or removed during the dump: repeat it")
    return listed


def _compress(process: Any, login: str, path: str) -> bytes:
    process.stdin.write(login.encode())
    process.stdin.close()
    tail = b""
    # Level 3: mail is mostly base64, more effort saves little.
    with gzip.open(path, "wb", compresslevel=3) as out:
        for block in iter(lambda: process.stdout.read(BLOCK), b""):
            out.write(block)
            tail = (tail + block)[-500:]
    return tail


def drop_all(plan: Plan) -> None:
    """Drop the main database and every message database, also such that no backup knows."""
    listed = names(plan)
    if listed:
        query(plan, "".join(f"DROP DATABASE `{name}`;\n" for name in listed))


def load_from(plan: Plan, path: str) -> None:
    """Run the SQL of a compressed dump. Raises BackupError with the server's words."""
    argv = _command(plan, "mariadb", ["--max-allowed-packet=1G", "--default-character-set=utf8mb4"])
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        assert process.stdin is not None  # noqa: S101 - for the type checker: it was asked for above
        try:
            with gzip.open(path, "rb") as source:
                process.stdin.write(input_for(_connection(plan)).encode())
                shutil.copyfileobj(source, process.stdin, BLOCK)
            process.stdin.close()
        except BrokenPipeError:
            pass  # the program ended early; its own words say why
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait() != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-500:]
            raise BackupError(redact(f"the dump cannot be loaded: {said}"))


def counts(plan: Plan, listed: List[str]) -> Dict[str, int]:
    """Return how many rows of what a person would look for first."""
    main = plan.database["main"]
    found = {"messages": message_count(plan, listed)}
    for table in ("users", "servers", "domains", "credentials"):
        found[table] = int(query(plan, f"SELECT COUNT(*) FROM `{main}`.`{table}`;\n")[0][0])  # noqa: S608
    return found
