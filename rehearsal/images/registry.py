"""A registry on the rehearsal ground: hosts pull from it over TLS, by name, as from any registry.

The layers are on one Docker volume of this checkout, kept between runs. Each ground has a registry of its own that may
only read them, so nobody has to agree on who stops a shared one. It has its own copy of the tags, a few small files:
what a run with other images pushes in the meantime does not show. What is missing is pushed by a second, short-lived
registry that may write and listens on the loopback interface only, where a Docker daemon asks for no certificate.
"""

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

from rehearsal.ground import Ground, GroundError, Service
from rehearsal.ground.archive import Entry, pack
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.labels import NAME, ground_labels
from rehearsal.ground.state import CHECKOUT, exclusive
from rehearsal.images.catalogue import Images
from rehearsal.pki import PrivateCa
from rehearsal.waiting import wait_for

__all__ = ["REGISTRY_NAME", "REGISTRY_PORT", "REGISTRY_VOLUME", "Registry", "start_registry"]

Log = Callable[[str], None]

REGISTRY_NAME = "registry.rehearsal.test"
REGISTRY_PORT = 5000

REGISTRY_VOLUME = f"mailstack-registry-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:6]}"
"""Docker volume with everything pushed so far. Two checkouts may hold different images under one name."""

START_TIMEOUT = 30.0
"""Seconds the registry that is pushed to may take to answer."""

PUSH_TIMEOUT = 300.0
"""Seconds for pushing one image."""

_STORAGE = "/var/lib/registry"
_SHARED = "/var/lib/registry-shared"
_TREE = "docker/registry/v2"
# The directory must exist before the first push, too.
_TAKE_TAGS = f"""
mkdir -p {_STORAGE}/{_TREE}
ln -sfn {_SHARED}/{_TREE}/blobs {_STORAGE}/{_TREE}/blobs
rm -rf {_STORAGE}/{_TREE}/repositories
if [ -d {_SHARED}/{_TREE}/repositories ]; then cp -r {_SHARED}/{_TREE}/repositories {_STORAGE}/{_TREE}/; fi
"""
_CONFIG = "/etc/rehearsal-registry.yml"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry that serves all images of a rehearsal on one ground."""

    service: Service
    contents: Mapping[str, str]
    """Repository and tag, such as ``library/mariadb:10.11``, to the image's id (``sha256:...``)."""

    @property
    def address(self) -> str:
        """Name and port, as they stand at the front of an image's name."""
        return f"{REGISTRY_NAME}:{REGISTRY_PORT}"

    def name(self, reference: str) -> str:
        """Return the full name of ``reference``, one of :attr:`contents`."""
        if reference not in self.contents:
            raise GroundError(f"The registry has no {reference!r}. Fix: one of {', '.join(sorted(self.contents))}.")
        return f"{self.address}/{reference}"

    def postal(self, version: str) -> str:
        """Return the full name of Postal in this version."""
        return self.name(f"postalserver/postal:{version}")

    @property
    def mariadb(self) -> str:
        """The full name of the database image."""
        return self.name("library/mariadb:10.11")


def _config(*, writable: bool) -> str:
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": not writable}},
        "storage": {
            "filesystem": {"rootdirectory": _STORAGE},
            # No cache: what was pushed a moment ago is seen.
            "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": not writable}},
            "delete": {"enabled": writable},
        },
        "http": {
            "addr": f":{REGISTRY_PORT}",
            **({} if writable else {"tls": {"certificate": "/tls/registry.crt", "key": "/tls/registry.key"}}),
        },
    }
    # JSON is YAML.
    return json.dumps(settings)


def _start_reader(ground: Ground, ca: PrivateCa, image: str) -> Service:
    pair = ca.issue(REGISTRY_NAME)
    return ground.create_service(
        "registry",
        ["sh", "-ec", f"{_TAKE_TAGS} exec docker-registry serve {_CONFIG}"],
        aliases=[REGISTRY_NAME],
        image=image,
        copies={
            _CONFIG: _config(writable=False),
            "/tls/registry.crt": pair.certificate,
            "/tls/registry.key": pair.key,
        },
        ready_port=REGISTRY_PORT,
        extra_run_args=["--volume", f"{REGISTRY_VOLUME}:{_SHARED}:ro"],
    )


def _image_ids(references: Mapping[str, str]) -> dict[str, str]:
    return {
        reference: docker(["image", "inspect", "--format", "{{.Id}}", image]) for reference, image in references.items()
    }


def _missing(service: Service, ca: PrivateCa, wanted: Mapping[str, str]) -> list[str]:
    """Return what the registry does not have, or has in another build. A manifest names the image's id."""
    missing = []
    with closing(ca.connect(service.address, REGISTRY_PORT)) as connection:
        for reference, identity in wanted.items():
            repository, _, tag = reference.rpartition(":")
            connection.request("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": _MANIFEST})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK or json.loads(body)["config"]["digest"] != identity:
                missing.append(reference)
    return missing


def _wait_until_serving(port: int) -> None:
    # Not wait_for_port(): Docker accepts connections to a published port before anything listens behind it.
    def serves() -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/v2/")
                return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    if not wait_for(serves, START_TIMEOUT):
        raise GroundError(f"The registry for pushing did not answer on port {port} in {START_TIMEOUT:.0f} s.")


@contextmanager
def _writer(ground: Ground, image: str) -> Iterator[tuple[str, int]]:
    """Run the registry that may write; yield its container and its port on 127.0.0.1."""
    labels = ground_labels(ground.name, keep=False, state=ground.state) | {NAME: "registry-writer"}
    container = docker(
        [
            # Docker's own network: a ground cut off from the Internet publishes no ports.
            "create", "--init", "--publish", f"127.0.0.1::{REGISTRY_PORT}",
            *[part for name, value in labels.items() for part in ("--label", f"{name}={value}")],
            "--volume", f"{REGISTRY_VOLUME}:{_STORAGE}",
            image, "docker-registry", "serve", _CONFIG,
        ]
    )  # fmt: skip
    config = Entry(target=_CONFIG, content=_config(writable=True).encode())
    try:
        docker(["cp", "-", f"{container}:/"], stdin=pack([config]))
        docker(["start", container])
        port = int(docker(["port", container, f"{REGISTRY_PORT}/tcp"]).rpartition(":")[2])
        _wait_until_serving(port)
        yield container, port
    finally:
        docker_try(["rm", "--force", container])


def _push(image: str, name: str) -> None:
    docker(["tag", image, name])
    try:
        docker(["push", "--quiet", name], timeout=PUSH_TIMEOUT)
    finally:
        docker_try(["image", "rm", "--no-prune", name])


def _collect_garbage(container: str, reader: Service) -> None:
    """Free what no tag names any more, unless another ground may be pulling just that."""
    users = docker(["container", "ls", "--quiet", "--no-trunc", "--filter", f"volume={REGISTRY_VOLUME}"]).split()
    if set(users) <= {container, reader.container_id}:
        docker(["exec", container, "docker-registry", "garbage-collect", "--delete-untagged", _CONFIG])


def _fill(ground: Ground, reader: Service, images: Mapping[str, str], image: str, log: Log) -> None:
    """Push ``images``, reference to name, and let the reader take the tags as they are then."""
    started = time.monotonic()
    with _writer(ground, image) as (container, port):
        for reference, name in images.items():
            _push(name, f"127.0.0.1:{port}/{reference}")
        _collect_garbage(container, reader)
    ground.exec(reader, ["sh", "-ec", _TAKE_TAGS])
    log(f"pushed {', '.join(images)} to the registry in {time.monotonic() - started:.1f} s")


def start_registry(ground: Ground, ca: PrivateCa, images: Images, *, log: Log = lambda _line: None) -> Registry:
    """Start ``https://registry.rehearsal.test:5000`` on ``ground`` and return it once it holds all ``images``.

    Hosts made with ``ca_certificates=[ca.certificate]`` trust it. It serves ``postalserver/postal`` in the three
    versions of :class:`Images` and ``library/mariadb:10.11``. Raises ``GroundError``.
    """
    references = {f"postalserver/postal:{version}": image for version, image in images.postal.items()}
    references["library/mariadb:10.11"] = images.mariadb
    wanted = _image_ids(references)
    # One run at a time: tags are pushed and taken by different registries.
    with exclusive("registry"):
        reader = _start_reader(ground, ca, images.services)
        missing = _missing(reader, ca, wanted)
        if missing:
            _fill(ground, reader, {reference: references[reference] for reference in missing}, images.services, log)
            missing = _missing(reader, ca, wanted)
    if missing:
        raise GroundError(f"The registry lacks {', '.join(missing)} after a push. Fix: see `docker logs` of it.")
    return Registry(service=reader, contents=wanted)
