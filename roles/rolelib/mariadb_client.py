"""MariaDB's own programs, run inside a container, with the password in no argument, environment or file of the host."""

from typing import List, Optional, Sequence

__all__ = ["ClientError", "Connection", "client_script", "in_container", "input_for", "once"]

from rolelib.commands import Result, redact, run
from rolelib.containers import ONCE_LIMITS

# Reads options up to the line END into a file in memory, only for this user; the rest of its input is the program's.
# The shell's `read` takes no byte too much from a pipe (POSIX), so SQL may follow at once.
SCRIPT = (
    "umask 077; options=$(mktemp -p /dev/shm) || exit 1; trap 'rm -f \"$options\"' EXIT; "
    'while IFS= read -r line; do [ "$line" = END ] && break; printf "%s\\n" "$line"; done >"$options"; '
    'program=$1; shift; "$program" --defaults-extra-file="$options" "$@"'
)


class ClientError(Exception):
    """The server refused, or could not be reached; the text is the program's own."""


class Connection:
    """Where to log in and as whom. ``host`` None is the socket file inside the server's container."""

    def __init__(self, username: str, password: str, host: Optional[str] = None, port: int = 3306) -> None:
        """Hold the values as given."""
        self.username = username
        self.password = password
        self.host = host
        self.port = port


def client_script(program: str, arguments: Sequence[str]) -> List[str]:
    """Return the command that runs ``program`` (mariadb, mariadb-dump) inside the container."""
    return ["sh", "-c", SCRIPT, "mailstack", program, *arguments]


def input_for(connection: Connection) -> str:
    """Return the lines that have to come first on the command's standard input."""
    lines = ["[client]", f"user={_option(connection.username)}", f"password={_option(connection.password)}"]
    if connection.host is not None:
        lines += [f"host={connection.host}", f"port={connection.port}", "protocol=tcp"]
    return "\n".join([*lines, "END"]) + "\n"


def _option(value: str) -> str:
    """Quote for an option file: backslashes are escapes there, and # would begin a comment."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_container(container: str, connection: Connection, sql: str, timeout: int = 60) -> List[List[str]]:
    """Run ``sql`` in the server's own container and return its rows. Raises ClientError."""
    argv = ["docker", "exec", "-i", container, *client_script("mariadb", ["--batch", "--skip-column-names"])]
    return _rows(run(argv, stdin=input_for(connection) + sql, check=False, timeout=timeout))


def once(image: str, network: Optional[str], program: str, arguments: Sequence[str]) -> List[str]:
    """Return the command that runs ``program`` in a new container of ``image``; ``network`` None is the host's."""
    argv = ["docker", "run", "--rm", "-i", *ONCE_LIMITS, "--user", "999:999", "--network", network or "host"]
    script = client_script(program, arguments)
    return [*argv, "--entrypoint", script[0], image, *script[1:]]


def _rows(result: Result) -> List[List[str]]:
    if not result.ok:
        raise ClientError(redact(result.err.strip() or f"exit code {result.code}"))
    return [line.split("\t") for line in result.out.splitlines()]
