"""Images of a rehearsal and the registry hosts pull them from."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rehearsal.ground import Ground, GroundError, Host, Service
from rehearsal.ground.archive import Entry, pack
from rehearsal.ground.docker import docker
from rehearsal.images import (
    POSTAL_VARIABLE,
    POSTAL_VERSION,
    POSTAL_VERSION_BROKEN,
    POSTAL_VERSION_NEXT,
    REGISTRY_NAME,
    Images,
    Registry,
    catalogue,
    ensure_docker_host_image,
    ensure_images,
    start_registry,
)
from rehearsal.images import registry as registry_module
from rehearsal.images.build import Config, Layer, folder_layers
from rehearsal.pki import PrivateCa

# --- without Docker -------------------------------------------------------------------------------------


def test_name_of_an_image_follows_everything_that_goes_into_it() -> None:
    def tag(*, entry: Entry | None = None, **parts: object) -> str:
        files = (entry or Entry(target="/a", content=b"1"),)
        return Layer(**{"repository": "r", "base": "b:1", "packages": ("p",), "files": files, **parts}).tag  # type: ignore[arg-type]

    names = [
        tag(),
        tag(base="b:2"),
        tag(packages=("p", "q")),
        tag(command=("/install.sh", "3.3.8")),
        tag(config=Config(user="postal")),
        tag(flat=True),
        tag(entry=Entry(target="/b", content=b"1")),
        tag(entry=Entry(target="/a", content=b"2")),
        tag(entry=Entry(target="/a", content=b"1", mode=0o755)),
        tag(entry=Entry(target="/a", content=b"1", owner="mail")),
    ]
    assert len(set(names)) == len(names)
    assert tag() == names[0]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "packages.txt").write_text("# what it needs\nruby\n\ncurl\n")
    (folder / "install.sh").write_text("#!/bin/sh\n")
    (folder / "image.json").write_text(json.dumps({"user": "postal", "command": ["postal"], "ports": [25]}))
    return folder


def test_an_edit_of_a_recipe_does_not_install_its_packages_again(recipe: Path) -> None:
    before = folder_layers("x", recipe, "slim:1", target="/opt/app")
    assert [layer.packages for layer in before] == [("ruby", "curl"), ()]
    (recipe / "program.rb").write_text("puts 1\n")
    after = folder_layers("x", recipe, "slim:1", target="/opt/app")
    assert after[0].tag == before[0].tag
    assert after[1].tag != before[1].tag
    assert [layer.packages for layer in folder_layers("x", recipe, "slim:1", target="/opt/app", together=True)] == [
        ("ruby", "curl")
    ]


def test_an_image_starts_as_its_recipe_says(recipe: Path) -> None:
    changes = folder_layers("x", recipe, "slim:1", target="/opt/app")[-1].config.changes()
    assert changes[1::2] == ["USER postal", "WORKDIR /", "ENTRYPOINT []", 'CMD ["postal"]', "EXPOSE 25/tcp"]
    (recipe / "image.json").write_text(json.dumps({"usre": "postal"}))
    with pytest.raises(TypeError, match="usre"):
        folder_layers("x", recipe, "slim:1", target="/opt/app")


def test_a_registry_out_of_reach_is_not_asked_again_the_same_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def refuse(image: str, log: Callable[[str], None]) -> bool:
        asked.append(image)
        return False

    monkeypatch.setattr(catalogue, "STATE_ROOT", tmp_path)
    monkeypatch.setattr(catalogue, "exists", lambda image: False)
    monkeypatch.setattr(catalogue, "pull", refuse)
    for _ in range(2):
        assert not catalogue._obtain("ghcr.io/a/b:1", print)
    assert asked == ["ghcr.io/a/b:1"]
    monkeypatch.setattr(catalogue, "_ASK_AGAIN", 0.0)
    assert not catalogue._obtain("ghcr.io/a/b:1", print)
    assert len(asked) == 2


def test_a_named_image_of_postal_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTAL_VARIABLE, "postal-real:absent")
    monkeypatch.setattr(catalogue, "exists", lambda image: False)
    with pytest.raises(GroundError, match=r"postal-real:absent.*Fix:"):
        catalogue._given_postal(print)


def test_only_images_of_older_recipes_are_removed_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    slim = Layer(repository="mailstack-rehearsal-slim", base="bare")
    postal = Layer(repository="mailstack-rehearsal-postal", base=slim.tag)
    recipes = catalogue._Recipes(
        services=[slim], mariadb=[], postal=[slim, postal], variants={}, postal_image=postal.tag
    )
    listed = [
        postal.tag, "mailstack-rehearsal-postal:old", "mailstack-rehearsal:host", slim.tag, "postgres:17",
        "mailstack-rehearsal-slim:old", "mailstack-rehearsal-slim:used",
    ]  # fmt: skip
    asked: list[str] = []

    def remove(arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        asked.append(arguments[-1])
        return subprocess.CompletedProcess(arguments, 1 if arguments[-1].endswith(":used") else 0, b"", b"")

    monkeypatch.setattr(catalogue, "_recipes", lambda log: recipes)
    monkeypatch.setattr(catalogue, "docker", lambda arguments: "\n".join(listed))
    monkeypatch.setattr(catalogue, "docker_try", remove)
    removed = catalogue.remove_outdated_images(lambda _line: None)
    assert removed == ("mailstack-rehearsal-postal:old", "mailstack-rehearsal-slim:old")
    assert asked == [*removed, "mailstack-rehearsal-slim:used"]


def test_only_what_the_registry_holds_has_a_name_there() -> None:
    service = Service(name="registry", ground="x", container_id="1", container="c", address="192.0.2.1")
    registry = Registry(service=service, contents={"postalserver/postal:3.3.7": "sha256:1"})
    assert registry.postal("3.3.7") == "registry.rehearsal.test:5000/postalserver/postal:3.3.7"
    with pytest.raises(GroundError, match=r"no 'postalserver/postal:4'.*Fix: one of postalserver/postal:3\.3\.7"):
        registry.postal("4")


# --- with Docker ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images() -> Images:
    return ensure_images(lambda _line: None)


@pytest.fixture(scope="module")
def ca() -> PrivateCa:
    return PrivateCa()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("test-images") as made:
        yield made


@pytest.fixture(scope="module")
def registry(ground: Ground, ca: PrivateCa, images: Images) -> Registry:
    return start_registry(ground, ca, images)


@pytest.fixture(scope="module")
def host(ground: Ground, ca: PrivateCa, registry: Registry) -> Host:
    """A host with Docker that has pulled both applications from the registry."""
    image = ensure_docker_host_image(lambda _line: None)
    made = ground.create_host("mail1", image=image, docker=True, ca_certificates=[ca.certificate])
    for name in (registry.postal(POSTAL_VERSION), registry.mariadb):
        ground.exec(made, ["docker", "pull", "--quiet", name])
    return made


def image_id(ground: Ground, host: Host, name: str) -> str:
    return ground.exec(host, ["docker", "image", "inspect", "--format", "{{.Id}}", name]).stdout.strip()


@pytest.mark.hosts
def test_an_image_of_postal_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pushing gives an image a name for a while; taking the only name away would delete somebody's image.
    identity = docker(["import", "-"], stdin=pack([Entry(target="/name", content=b"none")]))
    monkeypatch.setenv(POSTAL_VARIABLE, identity)
    try:
        with pytest.raises(GroundError, match=r"has no name.*Fix: docker tag"):
            catalogue._given_postal(print)
    finally:
        docker(["image", "rm", identity])


@pytest.mark.hosts
def test_nothing_is_built_twice(images: Images) -> None:
    said: list[str] = []
    assert ensure_images(said.append) == images
    assert said == []


@pytest.mark.hosts
def test_an_image_keeps_nothing_of_the_machine_it_was_built_on(ground: Ground, images: Images) -> None:
    if images.real_mariadb:
        pytest.skip("the real image was pulled, not built")
    for image in (images.services, images.mariadb):
        service = ground.create_service("look", ["sleep", "600"], image=image, extra_run_args=["--entrypoint", ""])
        shown = ground.exec(
            service,
            [
                "sh",
                "-c",
                "ls /rehearsal /var/lib/apt/lists /etc/apt/auth.conf.d /etc/apt/sources.list.d /usr/share/doc",
            ],
            check=False,
        )
        assert shown.stdout.split() == [
            "/etc/apt/auth.conf.d:", "/etc/apt/sources.list.d:", "/usr/share/doc:", "/var/lib/apt/lists:",
        ]  # fmt: skip
        assert "/rehearsal" in shown.stderr
        ground.remove(service)


@pytest.mark.hosts
def test_hosts_pull_exactly_the_images_of_this_machine(ground: Ground, registry: Registry, host: Host) -> None:
    assert set(registry.contents) == {
        "library/mariadb:10.11",
        *(f"postalserver/postal:{version}" for version in (POSTAL_VERSION, POSTAL_VERSION_NEXT, POSTAL_VERSION_BROKEN)),
    }
    assert image_id(ground, host, registry.mariadb) == registry.contents["library/mariadb:10.11"]
    for version in (POSTAL_VERSION, POSTAL_VERSION_NEXT, POSTAL_VERSION_BROKEN):
        name = registry.postal(version)
        show = ["docker", "run", "--rm", "--entrypoint", "cat", name, "/opt/postal/app/VERSION"]
        assert ground.exec(host, show).stdout == f"{version}\n"
        assert image_id(ground, host, name) == registry.contents[f"postalserver/postal:{version}"]


@pytest.mark.hosts
def test_a_host_that_does_not_know_the_rehearsal_ca_pulls_nothing(ground: Ground, registry: Registry) -> None:
    stranger = ground.create_host("stranger1")
    url = f"https://{registry.address}/v2/"
    assert ground.exec(stranger, ["curl", "--silent", url], check=False).returncode == 60
    assert ground.exec(stranger, ["curl", "--silent", "--insecure", "--fail", url]).stdout == "{}"
    ground.remove(stranger)


@pytest.mark.hosts
def test_a_host_cannot_change_what_others_pull(ground: Ground, registry: Registry, host: Host) -> None:
    name = f"{REGISTRY_NAME}:5000/library/mariadb:mine"
    ground.exec(host, ["docker", "tag", registry.mariadb, name])
    pushed = ground.exec(host, ["docker", "push", name], check=False)
    assert pushed.returncode != 0
    assert "HTTP 405" in pushed.stderr


@pytest.mark.hosts
def test_a_second_ground_has_the_registry_at_once_and_pushes_nothing(
    ground: Ground, registry: Registry, images: Images
) -> None:
    said: list[str] = []
    other_ca = PrivateCa()
    with Ground("test-images-2", internet=False) as other:
        other.up()
        started = time.monotonic()
        second = start_registry(other, other_ca, images, log=said.append)
        assert time.monotonic() - started < 15, "three seconds on a machine that is not busy"
        assert second.contents == registry.contents
        # Nobody asks the other one's authority.
        host = other.create_host("mail1", ca_certificates=[other_ca.certificate])
        assert other.exec(host, ["curl", "--silent", "--fail", f"https://{second.address}/v2/"]).stdout == "{}"
    assert said == []


@pytest.mark.hosts
def test_a_changed_image_is_pushed_and_registries_that_already_run_stay_as_they_are(
    ca: PrivateCa, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other storage than everybody's: what is pushed here is under the wrong name.
    monkeypatch.setattr(registry_module, "REGISTRY_VOLUME", "mailstack-registry-test")
    tiny = ["mailstack-registry-test:1", "mailstack-registry-test:2"]
    for name in tiny:
        docker(["import", "-", name], stdin=pack([Entry(target="/name", content=name.encode())]))
    before = Images(**{**vars(images), "postal": {POSTAL_VERSION: tiny[0]}, "mariadb": tiny[0]})
    after = Images(**{**vars(before), "postal": {POSTAL_VERSION: tiny[1]}})
    said: list[str] = []
    try:
        with Ground("test-images-3") as one, Ground("test-images-4") as two:
            first = start_registry(one, ca, before, log=said.append)
            second = start_registry(two, ca, after, log=said.append)
            assert first.contents != second.contents
            for started in (first, second):
                assert registry_module._missing(started.service, ca, started.contents) == []
    finally:
        docker(["volume", "rm", "--force", "mailstack-registry-test"])
        docker(["image", "rm", *tiny])
    assert [line.partition(" to ")[0] for line in said] == [
        f"pushed postalserver/postal:{POSTAL_VERSION}, library/mariadb:10.11",
        f"pushed postalserver/postal:{POSTAL_VERSION}",
    ]
