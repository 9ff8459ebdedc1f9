"""A ground: hosts that boot like servers, and plain services, on a network of their own."""

import hashlib
import ipaddress
import json
import logging
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rehearsal.ground.archive import Entry, pack, pack_tree, unpack_file
from rehearsal.ground.daemon import default_mtu, ensure_docker
from rehearsal.ground.docker import docker, docker_bytes, docker_try
from rehearsal.ground.errors import GroundError
from rehearsal.ground.image import ensure_base_image
from rehearsal.ground.inner_docker import RUN_ARGUMENTS, copy_data_root, data_volume
from rehearsal.ground.keys import KeyPair, make_key
from rehearsal.ground.labels import NAME, ground_labels
from rehearsal.ground.leftovers import clean_leftovers, pieces, remove_ground
from rehearsal.ground.machine import split_certificates
from rehearsal.ground.network import candidates, docker_networks, machine_routes
from rehearsal.ground.state import STATE_ROOT, private_directory

__all__ = ["APT_VOLUME", "Ground", "Host", "Service", "wait_for_port"]

Log = Callable[[str], None]
_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_ADMIN = "admin"

APT_VOLUME = "mailstack-apt-cache"
"""Docker volume with the packages hosts have downloaded, shared by all grounds and never removed by one."""

BOOT_TIMEOUT = 120.0
"""Seconds from start to a booted systemd; four are usual."""

SSH_TIMEOUT = 30.0
"""Seconds from a booted systemd to an SSH banner."""

SERVICE_TIMEOUT = 30.0
"""Seconds a service may take to open its port."""

COMMAND_TIMEOUT = 600.0
"""Seconds a command on a host may take unless the caller knows better."""

FIRST_ADDRESS = 10
"""Hosts are numbered from here; the gateway has .1."""

# What lets systemd boot as process 1 without --privileged.
_SYSTEMD_ARGUMENTS = (
    # SYS_PTRACE: root sees which process holds a port, as it does on a server.
    "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",  # noqa: S108 - inside the host
    "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host",
    "--stop-signal", "SIGRTMIN+3", "--stop-timeout", "60",
)  # fmt: skip


def _ipv6_arguments() -> tuple[str, ...]:
    """Give hosts ::1 as servers have it, where this machine's kernel knows IPv6 at all."""
    if not Path("/proc/sys/net/ipv6").is_dir():
        return ()
    return ("--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.default.disable_ipv6=0")


@dataclass(frozen=True, kw_only=True)
class Host:
    """A booted host that answers SSH."""

    name: str
    ground: str
    container_id: str
    container: str
    """Name of the container."""
    address: str
    """IPv4 address on the ground's network; stays the same over stop and start."""
    ssh_host: str
    """Where SSH is reached from this machine: ``address``, or 127.0.0.1 when the port is published."""
    ssh_port: int
    user: str
    """``root``, or ``admin`` with passwordless sudo."""
    host_key: str
    """``ssh-ed25519 AAAA...``, put in before the first boot and thus known out of band."""
    private_key_file: str
    known_hosts_file: str
    private_key: str = field(repr=False)
    """Client key in OpenSSH format."""

    def ssh_command(self, *options: str) -> list[str]:
        """Return the ssh(1) argv, without a command, that accepts nothing but the pinned host key."""
        settings = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts_file,
            "GlobalKnownHostsFile": os.devnull,
            "HostKeyAlgorithms": "ssh-ed25519",
            "ConnectTimeout": "10",
            "LogLevel": "ERROR",
        }
        pairs = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        return [
            "ssh", "-F", os.devnull, *pairs, "-i", self.private_key_file, "-p", str(self.ssh_port),
            *options, f"{self.user}@{self.ssh_host}",
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Service:
    """A plain container (no systemd, no SSH) on the ground's network: for stand-ins."""

    name: str
    ground: str
    container_id: str
    container: str
    address: str


def wait_for_port(address: str, port: int, timeout: float = 30.0) -> None:
    """Return once something accepts TCP at ``address:port``; ``GroundError`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((address, port), timeout=2.0):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise GroundError(
                    f"Nothing accepts connections at {address} port {port} after {timeout:.0f} s ({error}). "
                    "Fix: look at the log of what should listen there."
                ) from error
        time.sleep(0.1)


def _wait_for_ssh(address: str, port: int) -> None:
    deadline = time.monotonic() + SSH_TIMEOUT
    while True:
        try:
            with socket.create_connection((address, port), timeout=2.0) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise GroundError(
                f"No SSH banner from {address} port {port} after {SSH_TIMEOUT:.0f} s. "
                "Fix: look at `journalctl -u ssh` with Ground.exec."
            )
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _power_on(container: str) -> None:
    docker(["start", container])


def _volume_name(source: Host | str) -> str:
    return source if isinstance(source, str) else data_volume(source.container_id)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise GroundError(
            f"{name!r} is no {what} name. Rule: it becomes a host name, so lower case letters, digits and "
            "hyphens, not at the ends, 40 at most (RFC 1123 section 2.1). Fix: choose another."
        )
    return name


class Ground:
    """A named set of hosts and services on its own network; several can exist at once.

    Nothing is made before the first host or service (or :meth:`up`). Used as a context manager it destroys
    itself at the end, unless it is kept.
    """

    def __init__(
        self,
        name: str,
        *,
        keep: bool = False,
        internet: bool = True,
        apt_cache: bool = True,
        state_root: Path = STATE_ROOT,
        log: Log = _LOG.info,
    ) -> None:
        """Describe a ground.

        ``keep``: it outlives this process until somebody takes it down. ``internet``: hosts reach what this
        machine reaches, packages above all, but never a mail port; without it they reach only each other.
        ``apt_cache``: hosts share the packages they download.
        """
        self.name = _check_name(name, "ground")
        self.keep = keep
        self.internet = internet
        self.apt_cache = apt_cache
        self.state = state_root / name
        self.network = f"mailstack-{name}"
        self.subnet = ""
        """IPv4 range in CIDR notation, once the ground is up."""
        self._log = log
        self._lock = threading.Lock()
        self._addresses: set[str] = set()
        self._hosts: dict[str, Host] = {}
        self._services: dict[str, Service] = {}

    @classmethod
    def open(cls, name: str, *, state_root: Path = STATE_ROOT, log: Log = _LOG.info) -> Self:
        """Return a ground that another process has made and that is still up."""
        path = state_root / _check_name(name, "ground") / "ground.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise GroundError(
                f"There is no ground {name!r} in {state_root}. Fix: start it, or list those there are with "
                "`python -m rehearsal.ground list`."
            ) from error
        ground = cls(
            name,
            keep=record["keep"],
            internet=record["internet"],
            apt_cache=record["apt_cache"],
            state_root=state_root,
            log=log,
        )
        ground.subnet = record["subnet"]
        key = make_key(ground.state / "client" / "id_ed25519")
        for host in record["hosts"]:
            ground._hosts[host["name"]] = Host(**host, private_key=key.private)
        for service in record["services"]:
            ground._services[service["name"]] = Service(**service)
        ground._addresses = {item["address"] for item in [*record["hosts"], *record["services"]]}
        return ground

    def __enter__(self) -> Self:
        """Bring the network up."""
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Destroy the ground unless it is kept."""
        if not self.keep:
            self.destroy()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by name."""
        return dict(self._hosts)

    @property
    def services(self) -> Mapping[str, Service]:
        """The services by name."""
        return dict(self._services)

    @property
    def gateway(self) -> str:
        """This machine's address on the ground's network."""
        return str(ipaddress.IPv4Network(self.subnet)[1])

    def up(self) -> None:
        """Make sure there is a Docker daemon and the network of this ground. Does nothing the second time."""
        with self._lock:
            if not self.subnet:
                ensure_docker(self._log)
                clean_leftovers(self._log)
                self._create_network()
                self._write_state()

    def _create_network(self) -> None:
        found = pieces(self.name)
        if found:
            raise GroundError(
                f"The ground {self.name!r} exists already ({found[0].describe()}). Fix: take it down with "
                f"`python -m rehearsal.ground down {self.name}`, or use another name."
            )
        options = [] if self.internet else ["--internal"]
        for network in candidates(self.name, [*machine_routes(), *docker_networks()]):
            result = docker_try(
                [
                    "network", "create", "--driver", "bridge", "--subnet", str(network),
                    "--gateway", str(network[1]),
                    "--opt", f"com.docker.network.driver.mtu={default_mtu()}",
                    *options, *self._label_arguments("network"), self.network,
                ]
            )  # fmt: skip
            said = result.stderr.decode(errors="replace").strip()
            if result.returncode == 0:
                self.subnet = str(network)
                # Nothing of this name existed: keys of an earlier one would belong to no host.
                shutil.rmtree(self.state, ignore_errors=True)
                return
            # Another ground was quicker to take the range.
            if "overlap" not in said.lower():
                raise GroundError(f"Could not make the network of ground {self.name!r}: {said}")
        raise GroundError("No free /24 is left for a ground. Fix: `python -m rehearsal.ground clean`.")

    def _label_arguments(self, name: str) -> list[str]:
        labels = ground_labels(self.name, keep=self.keep, state=self.state) | {NAME: name}
        return [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]

    def _write_state(self) -> None:
        private_directory(self.state.parent)
        private_directory(self.state)
        hosts = [
            {key: value for key, value in asdict(host).items() if key != "private_key"} for host in self._hosts.values()
        ]
        record = {
            "keep": self.keep,
            "internet": self.internet,
            "apt_cache": self.apt_cache,
            "subnet": self.subnet,
            "hosts": hosts,
            "services": [asdict(service) for service in self._services.values()],
        }
        partial = self.state / "ground.json.new"
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.state / "ground.json")

    def _take_address(self) -> str:
        with self._lock:
            for number, address in enumerate(ipaddress.IPv4Network(self.subnet).hosts(), start=1):
                if number >= FIRST_ADDRESS and str(address) not in self._addresses:
                    self._addresses.add(str(address))
                    return str(address)
        raise GroundError(f"No address is left in {self.subnet}. Fix: use a second ground.")

    def _container(self, name: str) -> str:
        return f"mailstack-{self.name}-{name}"

    def _create_container(
        self,
        name: str,
        address: str,
        image: str,
        arguments: Sequence[str],
        argv: Sequence[str],
        entries: Sequence[Entry],
    ) -> str:
        identity = docker(
            [
                "create", "--name", self._container(name), "--network", self.network, "--ip", address,
                *self._label_arguments(name), *arguments, image, *argv,
            ]
        )  # fmt: skip
        if entries:
            docker(["cp", "-", f"{identity}:/"], stdin=pack(entries))
        return identity

    @contextmanager
    def _removed_on_failure(self, name: str, address: str) -> Iterator[None]:
        """Leave no half-made container behind, so that the name can be used again."""
        try:
            yield
        except BaseException:
            docker_try(["rm", "--force", "--volumes", self._container(name)])
            with self._lock:
                self._addresses.discard(address)
            raise

    def _prepare(self, name: str, what: str) -> None:
        self.up()
        if _check_name(name, what) in {*self._hosts, *self._services}:
            raise GroundError(f"The ground {self.name!r} already has {name!r}. Fix: use another name.")

    def create_host(
        self,
        name: str,
        *,
        hostname: str | None = None,
        aliases: Sequence[str] = (),
        memory_mb: int | None = None,
        admin_user: bool = False,
        ca_certificates: Sequence[str] = (),
        image: str | None = None,
        unsafe_dpkg: bool = False,
        publish_ssh: bool | None = None,
        docker: bool = False,
        docker_volume_from: Host | str | None = None,
        extra_run_args: Sequence[str] = (),
    ) -> Host:
        """Boot a host and return it once systemd is up and SSH answers (one to three seconds).

        ``hostname``: what the host calls itself, by default ``name``; both resolve on the ground's network, and
        so do the ``aliases``. ``memory_mb``: limit in MiB, swap included. ``admin_user``: log in
        as ``admin`` with passwordless sudo instead of ``root``. ``ca_certificates``: PEM texts the host shall
        trust. ``image``: a snapshot to start from. ``unsafe_dpkg``: let dpkg skip its disk flushes; quicker,
        and wrong for a benchmark. ``publish_ssh``: reach SSH on a loopback port; by default only where
        containers have no route (not Linux). ``extra_run_args``: further arguments of docker-create(1).
        ``docker``: make room for a Docker daemon inside the host; it is not installed. ``docker_volume_from``:
        the same, with images, containers and volumes copied from another host, which must be stopped, or from a
        Docker volume (500 MB take about three seconds). None of these is in a :meth:`snapshot`.

        What the host cannot do as a server can: set kernel parameters (``/proc/sys`` is read-only), use IPv6,
        and resolve names after its NAT table was flushed (Docker's DNS server lives there).
        """
        self._prepare(name, "host")
        started = time.monotonic()
        image = image or ensure_base_image(self._log)
        client = make_key(self.state / "client" / "id_ed25519")
        host_keys = make_key(self.state / "hosts" / name / "ssh_host_ed25519_key")
        address = self._take_address()
        if publish_ssh is None:
            publish_ssh = sys.platform != "linux"
        ssh_host, ssh_port = ("127.0.0.1", _free_port()) if publish_ssh else (address, 22)
        known_hosts = self.state / "hosts" / name / "known_hosts"
        pattern = ssh_host if ssh_port == 22 else f"[{ssh_host}]:{ssh_port}"
        known_hosts.write_text(f"{pattern} {host_keys.public}\n", encoding="utf-8")

        arguments = [
            *_SYSTEMD_ARGUMENTS,
            *_ipv6_arguments(),
            "--env",
            "container=docker",
            "--hostname",
            hostname or name,
        ]
        for alias in dict.fromkeys((name, hostname or name, *aliases)):
            arguments += ["--network-alias", alias]
        if memory_mb is not None:
            arguments += ["--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"]
        if publish_ssh:
            arguments += ["--publish", f"127.0.0.1:{ssh_port}:22"]
        if self.apt_cache:
            arguments += ["--volume", f"{APT_VOLUME}:/var/cache/rehearsal-packages"]
        with_docker = docker or docker_volume_from is not None
        if with_docker:
            arguments += RUN_ARGUMENTS
        entries = self._first_boot_files(
            client, host_keys, ca_certificates, unsafe_dpkg=unsafe_dpkg, docker=with_docker
        )
        with self._removed_on_failure(name, address):
            identity = self._create_container(
                name, address, image, [*arguments, *extra_run_args], ["/sbin/init"], entries
            )
            if docker_volume_from is not None:
                copy_data_root(_volume_name(docker_volume_from), identity, image)
            _power_on(identity)
            host = Host(
                name=name,
                ground=self.name,
                container_id=identity,
                container=self._container(name),
                address=address,
                ssh_host=ssh_host,
                ssh_port=ssh_port,
                user=_ADMIN if admin_user else "root",
                host_key=host_keys.public,
                private_key_file=str(client.private_file),
                known_hosts_file=str(known_hosts),
                private_key=client.private,
            )
            self._wait_until_booted(host)
            if ca_certificates:
                self.exec(host, ["update-ca-certificates"])
            if admin_user:
                self._add_admin(host, client.public)
            _wait_for_ssh(ssh_host, ssh_port)
        with self._lock:
            self._hosts[name] = host
            self._write_state()
        self._log(f"host {name} ({address}) is up after {time.monotonic() - started:.1f} s")
        return host

    def _first_boot_files(
        self,
        client: KeyPair,
        host_keys: KeyPair,
        ca_certificates: Sequence[str],
        *,
        unsafe_dpkg: bool,
        docker: bool,
    ) -> list[Entry]:
        """Return what a cloud would put on the disk before the first boot."""
        reach = "internet" if self.internet else "isolated"
        containers = "docker" if docker else "plain"
        entries = [
            Entry(target="/etc/ssh/ssh_host_ed25519_key", content=host_keys.private.encode(), mode=0o600),
            Entry(target="/etc/ssh/ssh_host_ed25519_key.pub", content=f"{host_keys.public}\n".encode()),
            Entry(target="/root/.ssh", content=None, mode=0o700),
            Entry(target="/root/.ssh/authorized_keys", content=f"{client.public}\n".encode(), mode=0o600),
            # A snapshot brings the identity of the host it was taken from.
            Entry(target="/etc/machine-id", content=b""),
            Entry(target="/etc/rehearsal", content=None, mode=0o755),
            Entry(target="/etc/rehearsal/first-boot", content=b""),
            Entry(target="/etc/rehearsal/network", content=f"{self.subnet} {reach} {containers}\n".encode()),
        ]
        certificates = [pem for text in ca_certificates for pem in split_certificates(text)]
        entries += [
            Entry(target=f"/usr/local/share/ca-certificates/ground-{_digest(pem)}.crt", content=pem.encode())
            for pem in certificates
        ]
        if unsafe_dpkg:
            entries.append(Entry(target="/etc/dpkg/dpkg.cfg.d/rehearsal-unsafe-io", content=b"force-unsafe-io\n"))
        return entries

    def _add_admin(self, host: Host, public_key: str) -> None:
        self.exec(
            host,
            ["sh", "-c", f"id {_ADMIN} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {_ADMIN}"],
        )
        home = f"/home/{_ADMIN}/.ssh"
        self._put(
            host,
            [
                Entry(target=home, content=None, mode=0o700, owner=_ADMIN),
                Entry(
                    target=f"{home}/authorized_keys",
                    content=f"{public_key}\n".encode(),
                    mode=0o600,
                    owner=_ADMIN,
                ),
                Entry(
                    target="/etc/sudoers.d/90-rehearsal",
                    content=f"{_ADMIN} ALL=(ALL) NOPASSWD:ALL\n".encode(),
                    mode=0o440,
                ),
                # Only the admin logs in, as on a cloud image.
                Entry(target="/root/.ssh/authorized_keys", content=b"", mode=0o600),
            ],
        )

    def _wait_until_booted(self, host: Host) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        while True:
            # --wait makes systemctl answer once booting is over; before systemd listens it fails at once.
            result = docker_try(
                ["exec", host.container_id, "systemctl", "is-system-running", "--wait"], timeout=BOOT_TIMEOUT
            )
            state = result.stdout.decode(errors="replace").strip()
            if state == "running":
                return
            if state == "degraded":
                failed = self.exec(host, ["systemctl", "--failed", "--plain", "--no-legend"], check=False)
                self._log(f"host {host.name} is up, with failed units: {failed.stdout.strip()}")
                return
            running = docker(["inspect", "--format", "{{.State.Running}}", host.container_id])
            if running != "true" or time.monotonic() > deadline:
                logs = docker_try(["logs", "--tail", "20", host.container_id])
                raise GroundError(
                    f"Host {host.name!r} did not boot (state {state or 'unknown'!r}, running: {running}). "
                    f"Its console says: {(logs.stdout + logs.stderr).decode(errors='replace')[-1500:]!r}"
                )
            time.sleep(0.1)

    def create_service(
        self,
        name: str,
        argv: Sequence[str],
        *,
        aliases: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        copies: Mapping[str, Path | bytes | str] | None = None,
        mounts: Mapping[str, Path] | None = None,
        image: str | None = None,
        ready_port: int | None = None,
        memory_mb: int | None = None,
        extra_run_args: Sequence[str] = (),
    ) -> Service:
        """Start ``argv`` in a plain container on the ground's network, as root, and return it.

        ``copies``: absolute target path to a file, a directory or contents, put in before the start (private
        keys included: they stay off the disk of this machine). ``mounts``: absolute target path to a path
        here, read-only. ``ready_port``: wait until this TCP port accepts (``SERVICE_TIMEOUT`` at most).

        Unlike a host, a service is not kept from mail ports outside: a stand-in must not relay.
        """
        self._prepare(name, "service")
        image = image or ensure_base_image(self._log)
        address = self._take_address()
        arguments = ["--init", "--hostname", name]
        for alias in dict.fromkeys((name, *aliases)):
            arguments += ["--network-alias", alias]
        for key, value in (env or {}).items():
            arguments += ["--env", f"{key}={value}"]
        for target, source in (mounts or {}).items():
            arguments += ["--volume", f"{source.resolve()}:{target}:ro"]
        if memory_mb is not None:
            arguments += ["--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"]
        entries: list[Entry] = []
        for target, content in (copies or {}).items():
            if isinstance(content, Path):
                entries.extend(pack_tree(content, target))
            else:
                data = content.encode() if isinstance(content, str) else content
                entries.append(Entry(target=target, content=data, mode=0o600))
        with self._removed_on_failure(name, address):
            identity = self._create_container(name, address, image, [*arguments, *extra_run_args], argv, entries)
            _power_on(identity)
            service = Service(
                name=name,
                ground=self.name,
                container_id=identity,
                container=self._container(name),
                address=address,
            )
            if ready_port is not None:
                self._wait_for_service(service, ready_port)
        with self._lock:
            self._services[name] = service
            self._write_state()
        return service

    def _wait_for_service(self, service: Service, port: int) -> None:
        try:
            wait_for_port(service.address, port, SERVICE_TIMEOUT)
        except GroundError as error:
            raise GroundError(f"{error} {service.name} says: {self.logs(service)[-1500:]!r}") from error

    def exec(
        self,
        target: Host | Service,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - the name subprocess.run uses
        check: bool = True,
        timeout: float = COMMAND_TIMEOUT,
        user: str = "root",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command through Docker, not SSH. Raises ``GroundError`` when it fails and ``check`` is on."""
        interactive = [] if input is None else ["--interactive"]
        data = input.encode() if isinstance(input, str) else input
        result = docker_try(
            ["exec", *interactive, "--user", user, target.container_id, *argv], stdin=data, timeout=timeout
        )
        return _finish(result, argv, target.name, check=check)

    def ssh(
        self,
        host: Host,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - the name subprocess.run uses
        check: bool = True,
        timeout: float = COMMAND_TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command the way a deployment does: over SSH, as ``host.user``, with the host key pinned."""
        data = input.encode() if isinstance(input, str) else (input or b"")
        try:
            result = subprocess.run(
                [*host.ssh_command(), shlex.join(argv)],
                input=data,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GroundError(f"{argv[0]} on {host.name} did not finish within {timeout:.0f} s.") from error
        return _finish(result, argv, host.name, check=check)

    def copy_in(
        self,
        target: Host | Service,
        source: Path | bytes | str,
        path: str,
        *,
        mode: int | None = None,
        owner: str = "root",
    ) -> None:
        """Put a file, a directory tree or contents at the absolute ``path`` of a running host.

        ``mode`` is for the top entry; by default that of the source, 0644 for contents.
        """
        if isinstance(source, Path):
            entries = pack_tree(source, path, owner=owner)
            if mode is not None:
                top = entries[0]
                entries[0] = Entry(target=top.target, content=top.content, mode=mode, owner=owner)
        else:
            data = source.encode() if isinstance(source, str) else source
            entries = [Entry(target=path, content=data, mode=0o644 if mode is None else mode, owner=owner)]
        self._put(target, entries)

    def _put(self, target: Host | Service, entries: Sequence[Entry]) -> None:
        # Not `docker cp`: on a running host that writes below /run and /tmp, which are mounts of their own.
        self.exec(target, ["tar", "-C", "/", "-x", "-p", "-f", "-"], input=pack(entries))

    def copy_out(self, target: Host | Service, path: str) -> bytes:
        """Return the contents of a file of a running host."""
        stream = docker_bytes(["exec", target.container_id, "tar", "-C", "/", "-c", "-f", "-", path.lstrip("/")])
        return unpack_file(stream)

    def logs(self, target: Host | Service) -> str:
        """Return what the container's first process wrote (stdout, then stderr)."""
        result = docker_try(["logs", target.container_id])
        return (result.stdout + result.stderr).decode(errors="replace")

    def stop(self, target: Host | Service) -> None:
        """Shut down in order."""
        docker(["stop", target.container_id])

    def cut_power(self, target: Host | Service) -> None:
        """End everything at once, as when the power fails. Disks keep what was written."""
        docker(["kill", target.container_id])

    def start(self, target: Host | Service) -> None:
        """Start again after :meth:`stop` or :meth:`cut_power`; a host is booted when this returns."""
        docker(["start", target.container_id])
        if isinstance(target, Host):
            self._wait_until_booted(target)
            _wait_for_ssh(target.ssh_host, target.ssh_port)

    def pause(self, target: Host | Service) -> None:
        """Freeze all processes: connections stay open and nothing answers."""
        docker(["pause", target.container_id])

    def unpause(self, target: Host | Service) -> None:
        """Let the processes go on."""
        docker(["unpause", target.container_id])

    def remove(self, target: Host | Service) -> None:
        """Remove one host or service for good; its name and address are free again."""
        docker(["rm", "--force", "--volumes", target.container_id])
        with self._lock:
            self._hosts.pop(target.name, None)
            self._services.pop(target.name, None)
            self._addresses.discard(target.address)
            shutil.rmtree(self.state / "hosts" / target.name, ignore_errors=True)
            self._write_state()

    def snapshot(self, host: Host) -> str:
        """Save the disk of a host as an image for ``create_host(image=...)``. Goes away with the ground.

        The identity of the host (host key, machine id, names) is not inherited, nor is what Docker inside it
        holds: see ``docker_volume_from`` of :meth:`create_host`. Processes are frozen while
        the disk is copied; for a file system as after a shutdown, stop the host first.
        """
        tag = f"mailstack-snapshot:{self.name}-{host.name}-{time.time_ns():x}"
        docker(["commit", host.container_id, tag], timeout=COMMAND_TIMEOUT)
        return tag

    def destroy(self) -> None:
        """Remove every container, network, volume and image of this ground, and its keys."""
        remove_ground(self.name)
        shutil.rmtree(self.state, ignore_errors=True)
        with self._lock:
            self.subnet = ""
            self._addresses.clear()
            self._hosts.clear()
            self._services.clear()


def _finish(
    result: subprocess.CompletedProcess[bytes], argv: Sequence[str], name: str, *, check: bool
) -> subprocess.CompletedProcess[str]:
    stdout, stderr = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
    if check and result.returncode != 0:
        raise GroundError(
            f"{' '.join(argv[:4])} on {name} failed with status {result.returncode}: "
            f"{stderr.strip()[-1500:]} {stdout.strip()[-500:]}"
        )
    return subprocess.CompletedProcess(list(argv), result.returncode, stdout, stderr)
