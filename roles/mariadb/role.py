"""The role: files, container, passwords and rights; then the proof that Postal's user can log in.

Settings: image, network, listen (null or one private address), port, memory_mb, max_message_mb, databases {main,
prefix}, username, remove_data (only read by --remove). Secrets: root_password, password.
"""

import os
import shutil
import time
from typing import Any, Dict, List, Optional

from mailstack.postal.mariadb import OLDEST_VERSION, PROJECT, VOLUME, render_cnf, render_compose, rights, sql_text
from rolelib import containers
from rolelib.commands import remember_secret, run
from rolelib.containers import Compose, Container, wait_until_healthy
from rolelib.files import read
from rolelib.host import RoleError
from rolelib.mariadb_client import ClientError, Connection, in_container
from rolelib.owned_files import OwnedFile, differs, write
from rolelib.protocol import Change, Plan, Role

__all__ = ["DIRECTORY", "MariaDB"]

DIRECTORY = "/opt/mailstack-mariadb"
SERVER_ID = 999
HEALTH_SECONDS = 240
ROOT_FILE = DIRECTORY + "/secrets/root_password"
PASSWORD_FILE = DIRECTORY + "/secrets/password"


class MariaDB(Role):
    """One MariaDB server in one container."""

    name = "mariadb"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the input; the host is read when planning."""
        Role.__init__(self, settings, secrets)
        # While a password changes, the old one can be in a message as well.
        for path in (ROOT_FILE, PASSWORD_FILE):
            remember_secret(read(path) or "")

    # --- what should be -----------------------------------------------------------------------------------------

    def _files(self) -> List[OwnedFile]:
        return [
            OwnedFile(DIRECTORY + "/compose.yaml", render_compose(self.settings)),
            OwnedFile(DIRECTORY + "/conf.d/mailstack.cnf", render_cnf(self.settings)),
        ]

    def _secret_files(self) -> List[OwnedFile]:
        """Read by the image when it makes the data directory; later they say which password the server knows."""
        return [
            OwnedFile(ROOT_FILE, self.secrets["root_password"], 0o400, SERVER_ID, SERVER_ID),
            OwnedFile(PASSWORD_FILE, self.secrets["password"], 0o400, SERVER_ID, SERVER_ID),
        ]

    # --- plan ---------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare files, container, passwords and rights with the settings."""
        containers.require_docker()
        containers.require_network(self.settings["network"])
        found: Plan = []
        for file in self._files():
            problem = differs(file)
            if problem:
                found.append(Change("files", problem, lambda file=file: write(file)))  # type: ignore[misc]
        server = self._server()
        image = containers.image_id(self.settings["image"])
        if image is None:
            found.insert(0, Change("pull", f"image {self.settings['image']} is not here", self._pull))
        if server is None or not server.running:
            found.append(Change("container", "MariaDB does not run", self._up))
        elif found or server.image != image:
            found.append(Change("container", "MariaDB runs with another configuration or image", self._up))
        if not self._has_data():
            found += self._secret_changes()
            return found
        if server is not None and server.running:
            found += self._account_changes(server)
        else:
            found.append(Change("accounts", "passwords and rights cannot be seen until MariaDB runs", self._accounts))
        return found

    def _secret_changes(self) -> Plan:
        changes = [
            Change("files", f"{file.path} is missing or old", lambda file=file: write(file))  # type: ignore[misc]
            for file in self._secret_files()
            if differs(file)
        ]
        return [*changes, Change("accounts", "the rights of Postal's user are not there yet", self._accounts)]

    def _account_changes(self, server: Container) -> Plan:
        found: Plan = []
        if any(differs(file) for file in self._secret_files()):
            found.append(Change("accounts", "a password is another one than declared", self._accounts))
        else:
            problem = self._account_problem(server)
            if problem:
                found.append(Change("accounts", problem, self._accounts))
        return found

    # --- apply --------------------------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Carry out the plan; on a new host the files with the passwords come before the first start."""
        order = ("pull", "files", "container", "accounts")
        for change in sorted(plan, key=lambda each: order.index(each.step)):
            self.say(change.step, change.what)
            if change.step == "container":
                self._prepare_directories()
            change.mend()

    def _pull(self) -> None:
        containers.pull(self.settings["image"])

    def _prepare_directories(self) -> None:
        os.chmod(DIRECTORY, 0o755)  # noqa: S103 - the secrets below have a directory of their own
        for name, mode in (("conf.d", 0o755), ("secrets", 0o750)):
            path = os.path.join(DIRECTORY, name)
            os.makedirs(path, exist_ok=True)
            os.chown(path, 0, SERVER_ID)
            os.chmod(path, mode)

    def _up(self) -> None:
        Compose(PROJECT, DIRECTORY).up()
        wait_until_healthy(PROJECT, {"mariadb": 1}, HEALTH_SECONDS)

    def _accounts(self) -> None:
        """Give both accounts their declared passwords and Postal's user its rights; then keep the passwords."""
        server = self._server()
        if server is None:
            raise RoleError("accounts", "MariaDB does not run")
        root = self._root(server)
        name = sql_text(self.settings["username"])
        password = sql_text(self.secrets["password"])
        statements = [
            f"CREATE USER IF NOT EXISTS {name}@'%' IDENTIFIED BY {password}",
            f"ALTER USER {name}@'%' IDENTIFIED BY {password}",
            *(f"GRANT ALL PRIVILEGES ON `{pattern}`.* TO {name}@'%'" for pattern in rights(self.settings)),
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY {sql_text(self.secrets['root_password'])}",
        ]
        try:
            in_container(server.id, root, ";\n".join(statements) + ";\n")
        except ClientError as error:
            raise RoleError("accounts", str(error)) from None
        for file in self._secret_files():
            write(file)

    def _root(self, server: Container) -> Connection:
        """Return a working root login: the declared password, or the last one that was set here."""
        tried = [self.secrets["root_password"], read(ROOT_FILE) or ""]
        said = ""
        for password in dict.fromkeys(tried):
            connection = Connection("root", password)
            try:
                in_container(server.id, connection, "SELECT 1;\n")
            except ClientError as error:
                said = str(error)
            else:
                return connection
        raise RoleError(
            "accounts",
            f"MariaDB knows neither the declared root password nor the one in {ROOT_FILE}: {said}. "
            "Put the right one in that file, then repeat",
        )

    # --- verify -------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Log in as Postal's user over TCP, as Postal does, and report what runs."""
        server = self._server()
        if server is None:
            raise RoleError("verify", "MariaDB does not run")
        problem = self._wait_for_login(server)
        if problem:
            raise RoleError("verify", problem)
        version, size = self._ask(
            server,
            "SELECT VERSION(), (SELECT COALESCE(ROUND(SUM(data_length + index_length) / 1048576), 0) "
            "FROM information_schema.tables);\n",
        )[0]
        if "mariadb" not in version.lower() or _version(version) < OLDEST_VERSION:
            raise RoleError("verify", f"the server is {version}; Postal needs MariaDB 10.6 or newer")
        self.facts.update(
            version=version, container=server.name, volume=VOLUME, host="mariadb", data_megabytes=int(size)
        )

    def _wait_for_login(self, server: Container) -> Optional[str]:
        for _ in range(20):
            problem = self._account_problem(server)
            if problem is None:
                return None
            time.sleep(0.5)
        return problem

    def _account_problem(self, server: Container) -> Optional[str]:
        try:
            grants = " ".join(row[0] for row in self._ask(server, "SHOW GRANTS;\n"))
        except ClientError as error:
            return f"{self.settings['username']} cannot log in: {error}"
        missing = [pattern for pattern in rights(self.settings) if f"`{pattern}`.*" not in grants.replace("\\\\", "\\")]
        return f"{self.settings['username']} has no rights on {', '.join(missing)}" if missing else None

    def _ask(self, server: Container, sql: str) -> List[List[str]]:
        login = Connection(self.settings["username"], self.secrets["password"], "127.0.0.1")
        return in_container(server.id, login, sql)

    # --- the rest -----------------------------------------------------------------------------------------------

    def _server(self) -> Optional[Container]:
        return next((each for each in containers.containers(PROJECT) if each.service == "mariadb"), None)

    def _has_data(self) -> bool:
        return run(["docker", "volume", "inspect", VOLUME], check=False).ok

    def remove(self) -> List[str]:
        """Stop and remove the server. Raises RoleError while its data is there and ``remove_data`` is not set."""
        containers.require_docker()
        if self._has_data() and not self.settings.get("remove_data"):
            raise RoleError(
                "remove",
                f"the volume {VOLUME} holds Postal's database. Make a backup and copy it elsewhere; then set "
                "postal.removal to allow and bring that up, to remove it together with the server",
            )
        done = []
        if os.path.exists(DIRECTORY + "/compose.yaml"):
            Compose(PROJECT, DIRECTORY).run(["down", "--volumes", "--timeout", "120"])
            done.append("MariaDB's container and its data removed")
        if self._has_data():
            run(["docker", "volume", "rm", VOLUME])
        if os.path.isdir(DIRECTORY):
            shutil.rmtree(DIRECTORY)
            done.append(f"{DIRECTORY} removed")
        return done


def _version(text: str) -> "tuple[int, ...]":
    return tuple(int(part) for part in text.split("-", 1)[0].split(".")[:2] if part.isdigit())
