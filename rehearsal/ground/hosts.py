"""A ground: hosts that boot like servers, and plain services, on a network of their own."""

import ipaddress
import json
import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from rehearsal.ground.access import COMMAND_TIMEOUT, Access, Log
from rehearsal.ground.archive import Entry, pack, pack_tree
from rehearsal.ground.daemon import ensure_docker
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.errors import GroundError
from rehearsal.ground.first_boot import ADMIN, SYSTEMD_ARGUMENTS, admin_files, first_boot_files, ipv6_arguments
from rehearsal.ground.host import Host, Service
from rehearsal.ground.image import ensure_base_image
from rehearsal.ground.inner_docker import RUN_ARGUMENTS, copy_data_root, data_volume
from rehearsal.ground.keys import make_key
from rehearsal.ground.labels import NAME, ground_labels
from rehearsal.ground.leftovers import clean_leftovers, pieces, remove_ground
from rehearsal.ground.network import create_network
from rehearsal.ground.ports import free_port, wait_for_port, wait_for_ssh
from rehearsal.ground.state import STATE_ROOT, private_directory

__all__ = ["APT_VOLUME", "Ground"]

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")

APT_VOLUME = "mailstack-apt-cache"
"""Docker volume with the packages hosts have downloaded, shared by all grounds and never removed by one."""

SERVICE_TIMEOUT = 30.0
"""Seconds a service may take to open its port."""

FIRST_ADDRESS = 10
"""Hosts are numbered from here; the gateway has .1."""


def _power_on(container: str) -> None:
    docker(["start", container])


def _volume_name(source: Host | str) -> str:
    return source if isinstance(source, str) else data_volume(source.container_id)


def _check_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise GroundError(
            f"{name!r} is no {what} name. Rule: it becomes a host name, so lower case letters, digits and "
            "hyphens, not at the ends, 40 at most (RFC 1123 section 2.1). Fix: choose another."
        )
    return name


class Ground(Access):
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
        super().__init__(log)
        self.name = _check_name(name, "ground")
        self.keep = keep
        self.internet = internet
        self.apt_cache = apt_cache
        self.state = state_root / name
        self.network = f"mailstack-{name}"
        self.subnet = ""
        """IPv4 range in CIDR notation, once the ground is up."""
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
        self.subnet = create_network(
            self.network, seed=self.name, internet=self.internet, arguments=self._label_arguments("network")
        )
        # Nothing of this name existed: keys of an earlier one would belong to no host.
        shutil.rmtree(self.state, ignore_errors=True)

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
        ssh_host, ssh_port = ("127.0.0.1", free_port()) if publish_ssh else (address, 22)
        known_hosts = self.state / "hosts" / name / "known_hosts"
        pattern = ssh_host if ssh_port == 22 else f"[{ssh_host}]:{ssh_port}"
        known_hosts.write_text(f"{pattern} {host_keys.public}\n", encoding="utf-8")

        arguments = [
            *SYSTEMD_ARGUMENTS,
            *ipv6_arguments(),
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
        reach = "internet" if self.internet else "isolated"
        network = f"{self.subnet} {reach} {'docker' if with_docker else 'plain'}"
        entries = first_boot_files(client, host_keys, ca_certificates, network=network, unsafe_dpkg=unsafe_dpkg)
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
                user=ADMIN if admin_user else "root",
                host_key=host_keys.public,
                private_key_file=str(client.private_file),
                known_hosts_file=str(known_hosts),
                private_key=client.private,
            )
            self._wait_until_booted(host)
            if ca_certificates:
                self.exec(host, ["update-ca-certificates"])
            if admin_user:
                add = f"id {ADMIN} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {ADMIN}"
                self.exec(host, ["sh", "-c", add])
                self.put(host, admin_files(client.public))
            wait_for_ssh(ssh_host, ssh_port)
        with self._lock:
            self._hosts[name] = host
            self._write_state()
        self._log(f"host {name} ({address}) is up after {time.monotonic() - started:.1f} s")
        return host

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
        init: bool = True,
        extra_run_args: Sequence[str] = (),
    ) -> Service:
        """Start ``argv`` in a plain container on the ground's network, as root, and return it.

        ``copies``: absolute target path to a file, a directory or contents, put in before the start (private
        keys included: they stay off the disk of this machine). ``mounts``: absolute target path to a path
        here, read-only. ``ready_port``: wait until this TCP port accepts (``SERVICE_TIMEOUT`` at most). Without
        ``init`` the program itself is process 1.

        Unlike a host, a service is not kept from mail ports outside: a stand-in must not relay.
        """
        self._prepare(name, "service")
        image = image or ensure_base_image(self._log)
        address = self._take_address()
        arguments = [*(["--init"] if init else []), "--hostname", name]
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
