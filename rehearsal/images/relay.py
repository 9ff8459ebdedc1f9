"""The relay's own image, built by its Dockerfile on a Debian that this machine can make."""

import hashlib
from collections.abc import Callable

from mailstack.plan.relay_image import DOCKERFILE, ROOT, code_files, image_code_digest
from rehearsal.ground.archive import Entry
from rehearsal.ground.daemon import ensure_docker
from rehearsal.ground.image import ensure_bare_image, exists, run_logged
from rehearsal.ground.machine import read_machine
from rehearsal.ground.state import STATE_ROOT, exclusive, private_directory
from rehearsal.images.build import Layer, apt_files, build, slim_layer

__all__ = ["RELAY_REPOSITORIES", "ensure_relay_base", "ensure_relay_image", "ensure_trusting_image", "relay_tag"]

REPOSITORY = "mailstack-rehearsal-postfix-relay"
BASE_REPOSITORY, TRUSTING_REPOSITORY = f"{REPOSITORY}-base", f"{REPOSITORY}-trusting"
RELAY_REPOSITORIES = (REPOSITORY, BASE_REPOSITORY, TRUSTING_REPOSITORY)
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
Log = Callable[[str], None]


def relay_tag(base: str) -> str:
    """Return the name of the image built on ``base``."""
    digest = hashlib.sha256(f"{base} {image_code_digest()}".encode()).hexdigest()[:16]
    return f"{REPOSITORY}:{digest}"


def base_layers(bare: str) -> list[Layer]:
    """Return what stands where the Dockerfile has debian:bookworm-slim: the same Debian, of this machine's mirror."""
    slim = slim_layer(bare)
    files = apt_files(read_machine(), "/etc/apt/rehearsal", "/etc/apt/apt.conf.d/90rehearsal")
    return [slim, Layer(repository=BASE_REPOSITORY, base=slim.tag, files=tuple(files))]


def ensure_relay_base(log: Log) -> str:
    """Return that base; build it where it is missing. Raises ``GroundError``."""
    ensure_docker(log)
    layers = base_layers(ensure_bare_image(log))
    if not exists(layers[-1].tag):
        with exclusive("images"):
            build(layers, log)
    return layers[-1].tag


def ensure_relay_image(log: Log) -> str:
    """Return the image; build it where it is missing, or what goes into it has changed. Raises ``GroundError``."""
    base = ensure_relay_base(log)
    tag = relay_tag(base)
    if exists(tag):
        return tag
    with exclusive("images"):
        log(f"building {tag} of {len(code_files())} files on {base}")
        command = ["docker", "build", "--network", "host", "--build-arg", f"BASE={base}", "--file", DOCKERFILE]
        log_file = private_directory(STATE_ROOT / ".images") / "build-relay.log"
        run_logged([*command, "--tag", tag, str(ROOT)], log_file, "building the relay's image")
    return tag


def ensure_trusting_image(authorities: str, log: Log) -> str:
    """Return the image with ``authorities`` (PEM) as the only ones it trusts: a company's own image, so to speak."""
    files = (Entry(target=AUTHORITIES, content=authorities.encode(), mode=0o644),)
    layer = Layer(repository=TRUSTING_REPOSITORY, base=ensure_relay_image(log), files=files)
    with exclusive("images"):
        build([layer], log)
    return layer.tag
