"""Builds the disk image every host of a rehearsal ground starts from."""

import hashlib
import json
import logging
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rehearsal.ground.archive import Entry, pack, pack_tree
from rehearsal.ground.daemon import default_mtu
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.errors import GroundError
from rehearsal.ground.machine import SUITE, Machine, read_machine
from rehearsal.ground.state import APT_INSTALL, STATE_ROOT, exclusive, private_directory

__all__ = [
    "PACKAGES",
    "ensure_bare_image",
    "ensure_base_image",
    "exists",
    "image_tag",
    "pull",
    "remove_outdated_images",
    "run_logged",
]

Log = Callable[[str], None]
_LOG = logging.getLogger(__name__)
_FILES = Path(__file__).with_name("image_files")

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo",
    "ca-certificates", "openssl", "iproute2", "iputils-ping", "netbase", "procps", "tzdata",
    "python3", "python3-aiosmtpd", "python3-requests", "curl", "less", "cron", "logrotate", "lsb-release", "apt-utils",
)  # fmt: skip
"""What a small Debian server comes with. python3-aiosmtpd is for the stand-ins and python3-requests for
applications that send; both use this image too. Nothing a role installs is here."""

PUBLIC_IMAGE = f"debian:{SUITE}"
_REPOSITORY = "mailstack-rehearsal"
BARE_IMAGE = f"mailstack-rehearsal-bare:{SUITE}"

REGISTRY_TIMEOUT = 15.0
"""Seconds an image registry has to answer before the image is made from packages instead."""

PULL_TIMEOUT = 300.0
"""Seconds a download from a registry that did answer may take."""

BUILD_TIMEOUT = 900.0
"""Seconds for debootstrap, and again for installing the packages."""


def image_tag(machine: Machine) -> str:
    """Return the image name for this recipe: it changes whenever anything that goes into the image does."""
    recipe = {
        "suite": SUITE,
        "packages": PACKAGES,
        "files": {path.name: path.read_text(encoding="utf-8") for path in sorted(_FILES.iterdir())},
        "sources": machine.sources,
        "settings": machine.apt_settings,
        "logins": dict(machine.apt_logins),
        "certificates": machine.certificates,
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return f"{_REPOSITORY}:{digest[:16]}"


def exists(image: str) -> bool:
    """Tell whether the daemon has an image of this name."""
    return docker_try(["image", "inspect", "--format", "ok", image]).returncode == 0


def pull(name: str, log: Log) -> bool:
    """Try to get an image from its registry. Most machines can; a closed-off one finds out quickly."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            ["docker", "pull", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            # The first line appears once the registry has answered.
            ready, _, _ = select.select([process.stdout], [], [], REGISTRY_TIMEOUT)
            if not ready:
                process.kill()
                log(f"the image registry did not answer within {REGISTRY_TIMEOUT:.0f} s")
                return False
            try:
                process.communicate(timeout=PULL_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                log(f"pulling {name} took more than {PULL_TIMEOUT:.0f} s")
                return False
        if process.returncode != 0:
            errors.seek(0)
            reason = errors.read().decode(errors="replace").strip().splitlines()
            log(f"cannot pull {name}: {reason[-1] if reason else 'no reason given'}")
    return process.returncode == 0


def _pull(log: Log) -> bool:
    return pull(PUBLIC_IMAGE, log)


def run_logged(command: list[str], log_file: Path, what: str) -> None:
    """Run ``command`` with its output appended to ``log_file``. Raises ``GroundError`` with the end of it."""
    with log_file.open("ab") as output:
        try:
            status = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=BUILD_TIMEOUT,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise GroundError(f"{what} did not finish in {BUILD_TIMEOUT:.0f} s. See {log_file}.") from error
    if status != 0:
        tail = "\n".join(log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
        raise GroundError(f"{what} failed with status {status}. The end of {log_file}:\n{tail}")


def _bootstrap(machine: Machine, log: Log, log_file: Path) -> None:
    """Make a bare Debian from packages and import it as ``BARE_IMAGE``."""
    if os.geteuid() != 0:
        raise GroundError(
            f"{PUBLIC_IMAGE} cannot be pulled, and making it from packages needs root (debootstrap). "
            "Fix: allow the image registry, or run once as root."
        )
    if shutil.which("debootstrap") is None:
        log("installing debootstrap with apt-get")
        packages = ["debootstrap", "debian-archive-keyring"]
        run_logged([str(APT_INSTALL), *packages], log_file, "apt-get install debootstrap")
    log(f"making a bare Debian {SUITE} from packages with debootstrap")
    main = [mirror.uri for mirror in machine.mirrors if not mirror.suffix]
    with tempfile.TemporaryDirectory(prefix="mailstack-bare-") as directory:
        root = Path(directory) / "root"
        run_logged(
            ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root), *main[:1]],
            log_file,
            "debootstrap",
        )
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packer:
            imported = subprocess.run(
                ["docker", "import", "-", BARE_IMAGE],
                stdin=packer.stdout,
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT,
                check=False,
            )
    if packer.returncode != 0 or imported.returncode != 0:
        raise GroundError(f"docker import of the bare Debian failed: {imported.stderr.strip()}")


def _build_files(machine: Machine) -> bytes:
    entries = [Entry(target="/rehearsal", content=None, mode=0o755), *pack_tree(_FILES, "/rehearsal")]
    settings = ['Acquire::Languages "none";', 'APT::Keep-Downloaded-Packages "true";', *machine.apt_settings]
    settings.append('DPkg::Post-Invoke { "/usr/local/lib/rehearsal/keep-packages.sh || true"; };')
    entries.append(Entry(target="/rehearsal/apt.conf", content=("\n".join(settings) + "\n").encode()))
    entries.append(Entry(target="/rehearsal/rehearsal.sources", content=machine.sources.encode()))
    if machine.bundle is not None:
        entries.append(Entry(target="/rehearsal/bundle.pem", content=machine.bundle.read_bytes()))
    for number, certificate in enumerate(machine.certificates):
        name = f"/rehearsal/ca/machine-{number:03}.crt"
        entries.append(Entry(target=name, content=certificate.encode()))
    for name, text in machine.apt_logins.items():
        entries.append(Entry(target=f"/rehearsal/auth.conf.d/{name}", content=text.encode(), mode=0o600))
    return pack(entries)


def _build(base: str, tag: str, machine: Machine, log_file: Path) -> None:
    name = f"mailstack-rehearsal-build-{tag.rpartition(':')[2]}"
    docker_try(["rm", "--force", "--volumes", name])
    docker_try(["network", "rm", name])
    # Not Docker's default network: its MTU is 1500 whatever the way out of this machine allows.
    docker(["network", "create", "--opt", f"com.docker.network.driver.mtu={default_mtu()}", name])
    try:
        docker(["create", "--name", name, "--network", name, base, "/bin/sh", "/rehearsal/build.sh", *PACKAGES])
        docker(["cp", "-", f"{name}:/"], stdin=_build_files(machine))
        run_logged(["docker", "start", "--attach", name], log_file, "installing the packages of a host")
        docker(["commit", "--change", 'CMD ["/sbin/init"]', "--change", "ENV container=docker", name, tag])
    finally:
        docker_try(["rm", "--force", "--volumes", name])
        docker_try(["network", "rm", name])


def _bare_image(machine: Machine, log: Log, log_file: Path) -> str:
    if exists(PUBLIC_IMAGE) or _pull(log):
        return PUBLIC_IMAGE
    if not exists(BARE_IMAGE):
        _bootstrap(machine, log, log_file)
    return BARE_IMAGE


def ensure_bare_image(log: Log = _LOG.info) -> str:
    """Return the name of an image with nothing but Debian in it. Raises ``GroundError``."""
    if exists(BARE_IMAGE):
        return BARE_IMAGE
    with exclusive("image"):
        return _bare_image(read_machine(), log, private_directory(STATE_ROOT / ".image") / "build.log")


def ensure_base_image(log: Log = _LOG.info) -> str:
    """Return the name of the image hosts start from; build it when this recipe was not built before.

    The base is the registry's Debian where the registry answers, else a bare Debian made with debootstrap
    from the machine's package mirror (needs root). Raises ``GroundError``.
    """
    machine = read_machine()
    tag = image_tag(machine)
    if exists(tag):
        return tag
    with exclusive("image"):
        if exists(tag):
            return tag
        started = time.monotonic()
        log_file = private_directory(STATE_ROOT / ".image") / "build.log"
        log_file.write_bytes(b"")
        base = _bare_image(machine, log, log_file)
        log(f"installing {len(PACKAGES)} packages on {base} to make the host image {tag}")
        _build(base, tag, machine, log_file)
        log(f"host image ready after {time.monotonic() - started:.0f} s")
    return tag


def remove_outdated_images(log: Log = _LOG.info) -> tuple[str, ...]:
    """Remove host images of other recipes than the present one, unless something runs on them."""
    present = image_tag(read_machine())
    listed = docker(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", _REPOSITORY]).split()
    removed = []
    for tag in listed:
        if tag != present and docker_try(["image", "rm", tag]).returncode == 0:
            log(f"removed the outdated host image {tag}")
            removed.append(tag)
    return tuple(removed)
