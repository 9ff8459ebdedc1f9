"""A new configuration, tried in a throw-away container of its image before anything running is touched."""

import contextlib
import json
import os
import shutil
import tempfile
from typing import Any, Dict, Iterator, List, Optional

from mailstack.postal.compose import image_reference
from postal import paths
from postal.desired import Desired
from rolelib.commands import Result, run
from rolelib.containers import run_once
from rolelib.host import RoleError
from rolelib.owned_files import OwnedFile, write

__all__ = ["check_certificate", "check_port", "examine", "probe", "require_database", "script_text", "scripts"]

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runner")
OLDEST_MARIADB = (10, 6)
PROBE_SECONDS = 600
BYTES_PER_MB = 1024 * 1024
MESSAGES_IN_LOG = 10


def script_text(name: str) -> str:
    """Return one of the Ruby scripts that came with the role."""
    with open(os.path.join(SCRIPTS, name), encoding="utf-8") as stream:
        return stream.read()


@contextlib.contextmanager
def scripts() -> Iterator[str]:
    """Give the volume argument that shows the Ruby scripts to a container as /mailstack, for as long as needed."""
    directory = tempfile.mkdtemp(prefix="mailstack-postal-", dir="/run")
    try:
        os.chmod(directory, 0o755)  # noqa: S103 - the scripts hold no secret, and the container's user reads them
        for name in sorted(os.listdir(SCRIPTS)):
            if name.endswith(".rb"):
                write(OwnedFile(os.path.join(directory, name), script_text(name), 0o444))
        yield f"{directory}:/mailstack:ro,z"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def examine(wanted: Desired, settings: Dict[str, Any], secrets: Dict[str, Any], warnings: List[str]) -> Dict[str, Any]:
    """Have the new image read the new configuration, ask DNS and the database. Returns what the database said.

    Raises RoleError where Postal could not work with it; nothing on the host has changed then.
    """
    _write(wanted)
    try:
        _read_by_postal(settings)
        found = probe(settings, secrets)
    finally:
        shutil.rmtree(paths.CANDIDATE, ignore_errors=True)
    _judge_relay(found, settings)
    warnings += _bounce_warnings(found, settings)
    return _judge_database(found, settings)


def require_database(settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
    """Wait for the database; raises RoleError where it does not answer or will not do."""
    _judge_database(probe(settings, secrets), settings)


def _write(wanted: Desired) -> None:
    shutil.rmtree(paths.CANDIDATE, ignore_errors=True)
    os.makedirs(paths.CANDIDATE, mode=0o750)
    os.chown(paths.CANDIDATE, 0, paths.USER_ID)
    os.chmod(paths.CANDIDATE, 0o750)  # noqa: S103 - the container's user may pass
    for file in wanted.files:
        there = os.path.join(paths.CANDIDATE, os.path.basename(file.path))
        write(OwnedFile(there, file.content, file.mode, file.uid, file.gid))


def _network(settings: Dict[str, Any]) -> str:
    return "host" if settings["compose"]["host_network"] else str(settings["compose"]["network"])


def _inside(
    settings: Dict[str, Any], command: List[str], stdin: str = "", volumes: Optional[List[str]] = None
) -> Result:
    return run_once(
        image_reference(settings["image"]),
        command,
        stdin=stdin,
        network=_network(settings),
        volumes=volumes or [],
        timeout=PROBE_SECONDS,
    )


def _read_by_postal(settings: Dict[str, Any]) -> None:
    """Postal prints its DKIM record from the configuration and the key: proof that it can read both."""
    result = _inside(settings, ["postal", "default-dkim-record"], volumes=[paths.CANDIDATE + ":/config:ro,z"])
    lines = result.out.strip().splitlines()
    if not result.ok or not lines or not lines[-1].startswith("v=DKIM1;"):
        said = (result.err.strip() or result.out.strip())[-600:] or f"exit code {result.code}"
        raise RoleError("check", f"Postal does not accept the new configuration or signing key: {said}")


def probe(settings: Dict[str, Any], secrets: Dict[str, Any]) -> Dict[str, Any]:
    """Return what a container finds on its network: addresses of the relay, the database and its rights."""
    document = {
        "relay": (settings["relay"] or {}).get("name"),
        "return_path_domain": settings["config"]["dns"]["return_path_domain"],
        "wait_seconds": settings["database"]["wait_seconds"],
        "database": {
            "host": settings["database"]["host"],
            "port": settings["database"]["port"],
            "username": settings["database"]["username"],
            "password": secrets["config"]["main_db"]["password"],
            "main": settings["database"]["main"],
            "prefix": settings["database"]["prefix"],
        },
    }
    with scripts() as volume:
        result = _inside(settings, ["ruby", "/mailstack/probe.rb"], json.dumps(document), [volume])
    if not result.ok:
        raise RoleError("check", f"a container of the new image cannot look around: {result.err.strip()[-600:]}")
    found: Dict[str, Any] = json.loads(result.out.strip().splitlines()[-1])
    return found


def _judge_relay(found: Dict[str, Any], settings: Dict[str, Any]) -> None:
    relay = settings["relay"]
    if relay is not None and not found.get("relay"):
        why = found.get("relay_error") or "no A or AAAA record"
        raise RoleError(
            "check",
            f"the relay {relay['name']} cannot be found by plain DNS from inside Postal's container ({why}). Postal "
            "does not look into /etc/hosts: give the name an A record, it may point to a private address",
        )


def _bounce_warnings(found: Dict[str, Any], settings: Dict[str, Any]) -> List[str]:
    """Bounces are sent to the return path domain: without its MX at Postal nobody learns of them."""
    domain, wanted = settings["config"]["dns"]["return_path_domain"], settings["config"]["postal"]["smtp_hostname"]
    names = found.get("return_path_mx", [])
    if wanted in names:
        return []
    there = f"its MX is {', '.join(names)}" if names else "it has no MX record"
    return [f"bounces to {domain} do not reach Postal: {there}, it should be {wanted}"]


def _judge_database(found: Dict[str, Any], settings: Dict[str, Any]) -> Dict[str, Any]:
    where = f"{settings['database']['host']}:{settings['database']['port']}"
    if "database" not in found:
        waited = settings["database"]["wait_seconds"]
        said = found.get("database_error", "no answer")
        raise RoleError("database", f"no login at MariaDB on {where} within {waited} s: {said}")
    database: Dict[str, Any] = found["database"]
    version = database["version"]
    numbers = tuple(int(part) for part in version.split("-", 1)[0].split(".")[:2] if part.isdigit())
    if "mariadb" not in version.lower() or numbers < OLDEST_MARIADB:
        raise RoleError("database", f"{where} runs {version}; Postal needs MariaDB 10.6 or newer, MySQL will not do")
    if database["rights"] is not None:
        raise RoleError(
            "database",
            f"{settings['database']['username']} may not make databases on {where}: {database['rights']}. It needs "
            f"ALL on `{settings['database']['main']}`.* and on `{settings['database']['prefix']}-server-%`.*",
        )
    largest = settings["config"].get("smtp_server", {}).get("max_message_size", 14) * BYTES_PER_MB
    for name, least in (("max_allowed_packet", 2 * largest), ("innodb_log_file_size", MESSAGES_IN_LOG * largest)):
        if int(database["variables"].get(name, least)) < least:
            raise RoleError(
                "database",
                f"{where} has {name} = {database['variables'][name]}; for messages of {largest // BYTES_PER_MB} MB "
                f"Postal needs at least {least}",
            )
    return database


def check_certificate(settings: Dict[str, Any]) -> None:
    """Raise RoleError where TLS for SMTP is declared and nobody delivered the certificate yet."""
    if not settings["smtp_certificate"]:
        return
    missing = [path for path in (paths.SMTP_CERTIFICATE, paths.SMTP_KEY) if not os.path.isfile(path)]
    if missing:
        raise RoleError(
            "certificate",
            f"{' and '.join(missing)} missing: role caddy delivers them, run it first, or set smtp_tls to false",
        )


def check_port(address: str, port: int) -> None:
    """Raise RoleError naming the program that listens on a port Docker is about to publish."""
    result = run(["ss", "-Hltnp", f"sport = :{port}"], check=False)
    for line in result.out.splitlines():
        columns = line.split()
        local = columns[3].rsplit(":", 1)[0].strip("[]")
        if address in ("", "0.0.0.0", "::") or local in ("*", "0.0.0.0", "::", address):  # noqa: S104
            holder = columns[-1] if "users:" in columns[-1] else "another program"
            raise RoleError(
                "check",
                f"port {port} is taken by {_program(holder)}: stop it (for a mail server, let it listen on "
                "another address), or choose another port",
            )


def _program(users: str) -> str:
    """Return ``name (process 123)`` from ss's users:(("name",pid=123,fd=4))."""
    name, _, rest = users.partition('"')[2].partition('"')
    pid = rest.partition("pid=")[2].partition(",")[0]
    return f"{name} (process {pid})" if pid else users
