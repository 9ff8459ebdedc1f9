"""The relay's own image, built by its Dockerfile on a Debian that this machine can make."""

import fnmatch
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rehearsal.ground.archive import Entry
from rehearsal.ground.daemon import ensure_docker
from rehearsal.ground.image import ensure_bare_image, exists, run_logged
from rehearsal.ground.machine import Machine, read_machine
from rehearsal.ground.state import STATE_ROOT, exclusive, private_directory
from rehearsal.images.build import Layer, build, slim_layer

__all__ = ["ensure_relay_image"]

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "images/postfix-relay/Dockerfile"
REPOSITORY = "mailstack-rehearsal-postfix-relay"
Log = Callable[[str], None]


def ensure_relay_image(log: Log) -> str:
    """Return the image; build it where it is missing, or what goes into it has changed. Raises ``GroundError``.

    Where the Dockerfile has debian:bookworm-slim, there stands the same Debian of this machine's package mirror.
    """
    ensure_docker(log)
    slim = slim_layer(ensure_bare_image(log))
    base = _with_mirrors(slim, read_machine())
    tag = f"{REPOSITORY}:{_digest(base.tag)}"
    if exists(tag):
        return tag
    with exclusive(".images"):
        build([slim, base], log)
        log(f"building {tag} on {base.tag}")
        command = ["docker", "build", "--network", "host", "--build-arg", f"BASE={base.tag}", "--file", str(DOCKERFILE)]
        log_file = private_directory(STATE_ROOT / ".images") / "build-relay.log"
        run_logged([*command, "--tag", tag, str(ROOT)], log_file, "building the relay's image")
    return tag


def _with_mirrors(slim: Layer, machine: Machine) -> Layer:
    """Return a layer in which apt finds its packages, as it does by itself in Debian's own image."""
    settings = [*machine.apt_settings]
    entries = []
    if machine.sources:
        entries.append(Entry(target="/etc/apt/sources.list.d/rehearsal.sources", content=machine.sources.encode()))
    for name, text in machine.apt_logins.items():
        entries.append(Entry(target=f"/etc/apt/auth.conf.d/{name}", content=text.encode(), mode=0o644))
    if machine.bundle is not None:
        settings.append('Acquire::https::CAInfo "/etc/apt/rehearsal.pem";')
        entries.append(Entry(target="/etc/apt/rehearsal.pem", content=machine.bundle.read_bytes()))
    entries.append(Entry(target="/etc/apt/apt.conf.d/90rehearsal", content=("\n".join(settings) + "\n").encode()))
    return Layer(repository=f"{REPOSITORY}-base", base=slim.tag, files=tuple(entries))


def _digest(base: str) -> str:
    found = hashlib.sha256(base.encode())
    for path in sorted([DOCKERFILE, *_context()]):
        found.update(f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o777:o}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _context() -> Iterator[Path]:
    """Yield the files that .dockerignore leaves in the context."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.removeprefix("!") for line in lines if line.startswith("!")]
    for pattern in patterns:
        folder = ROOT / Path(pattern).parent
        yield from (path for path in folder.iterdir() if fnmatch.fnmatch(path.name, Path(pattern).name))
