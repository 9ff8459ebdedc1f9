"""Images of a production stack: `mailstack init` writes down which bytes run, or says what is missing."""

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailstack.policy.images import IMAGES
from mailstack.policy.report import policy_report
from mailstack.reach.registry import RegistryError, digest_of
from mailstack.settings.initialise import rehearsal_config
from mailstack.start.pins import command, images_of, unpinned
from rehearsal.recorded import recorded_resources
from tests.unit.stack_examples import HOST_KEY
from tests.unit.test_init_command import Person, World, config, init, one_key
from tests.unit.test_init_file import answers, written

__all__ = ["one_key"]

POSTAL, MARIADB = "ghcr.io/postalserver/postal:3.3.7", "docker.io/library/mariadb:10.11"
RELAY = "registry.example.com/relay:1"
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
ADDRESS = "93.184.216.34"
WITH_POSTAL = {"upstream": "google-workspace", "tls": "acme"}


def refusing(path: Path) -> set[str]:
    """Return which policies a file violates."""
    report = policy_report("fresh", recorded_resources("fresh", rehearsal_config(path)), {})
    return {one["name"] for one in report["policies"] if one["violations"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("placement", "postal", "tls", "images"),
    [
        ("vm", "vm", "acme", [POSTAL, MARIADB]),
        ("vm", "none", "none", []),
        ("docker", "none", "none", []),
        ("docker", "vm", "acme", [POSTAL, MARIADB]),
        ("none", "vm", "acme", [POSTAL, MARIADB]),
        ("kubernetes", "kubernetes", "cert-manager", [RELAY, POSTAL]),
        ("none", "kubernetes", "secret", [POSTAL]),
    ],
)
def test_a_production_stack_with_known_digests_keeps_every_policy_and_without_them_breaks_one(
    placement: str, postal: str, tls: str, images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    bare = answers(placement, "google-workspace", "none", postal, tls)
    path = written(tmp_path, bare)
    assert images_of(unpinned(rehearsal_config(path))) == images
    assert refusing(path) == ({IMAGES.name} if images else set())
    if images:
        path = written(
            tmp_path, answers(placement, "google-workspace", "none", postal, tls, digests=dict.fromkeys(images, ONE))
        )
        assert unpinned(rehearsal_config(path)) == []
        assert refusing(path) == set()
        assert "when this file was made" in path.read_text()


def test_digests_are_looked_up_for_production_alone_and_not_without_a_look(tmp_path: Path) -> None:
    asked = World()
    asked.registry = {POSTAL: ONE, MARIADB: TWO}
    assert init(tmp_path, given=WITH_POSTAL, host_key=HOST_KEY, looks=asked) == 0
    assert f"digests of {POSTAL}, {MARIADB}" in asked.asked
    postal = config(tmp_path)["mailstack:postal"]
    assert postal["image"] == {"tag": "3.3.7", "digest": ONE}, "a digest alone would outlive the program's own tag"
    assert (postal["database"]["tag"], postal["database"]["digest"]) == ("10.11", TWO)
    staging, blind = World(), World()
    init(tmp_path, given={**WITH_POSTAL, "environment": "staging"}, host_key=HOST_KEY, stack="one", looks=staging)
    init(tmp_path, given=WITH_POSTAL, host_key=HOST_KEY, stack="two", looks=blind, look=False, public_ipv4=ADDRESS)
    for world in (staging, blind):
        assert not any(one.startswith("digests") for one in world.asked)


def test_what_no_registry_told_stands_in_the_file_and_the_same_command_later_finds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(tmp_path, given=WITH_POSTAL, host_key=HOST_KEY)
    path = tmp_path / "Pulumi.fresh.yaml"
    assert "a digest beside it, which was not known when this file was made (no answer): `mailstack init" in " ".join(
        path.read_text().replace("#", " ").split()
    )
    said = capsys.readouterr().out
    assert f"not pinned, which the policies refuse in prod: image {POSTAL}" in said
    assert said.splitlines()[-1] == "next: mailstack init --stack fresh"
    world, before = World(), path.read_text()
    world.registry = {POSTAL: ONE, MARIADB: TWO}
    init(tmp_path, given=WITH_POSTAL, host_key=HOST_KEY, looks=world, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert path.read_text() == before
    assert document["next"] == f"pulumi config set --path 'mailstack:postal.image.digest' {ONE} --stack fresh"
    assert [(one["path"], one["digest"]) for one in document["unpinned"]] == [
        ("postal.image.digest", ONE), ("postal.database.digest", TWO)]  # fmt: skip


def test_a_digest_of_an_old_file_comes_together_with_its_tag() -> None:
    pins = unpinned({"postal": {"image": {"repository": "mirror.example.com/postal"}, "database": {"digest": TWO}}})
    assert [command("s", pin, ONE) for pin in pins] == [
        (
            "pulumi config set --path 'mailstack:postal.image.tag' 3.3.7 --stack s && "
            f"pulumi config set --path 'mailstack:postal.image.digest' {ONE} --stack s"
        )
    ]
    caddy = {"caddy": {"placement": "container", "image": "caddy:2.10"}, "relay": {"placement": "vm"}}
    assert [command("s", pin, ONE) for pin in unpinned(caddy)] == [
        f"pulumi config set --path 'mailstack:caddy.image' caddy:2.10@{ONE} --stack s"
    ]


def test_validate_names_images_that_the_policy_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    from cli.main import main  # noqa: PLC0415 - what it reads is patched first

    written(tmp_path, answers())
    monkeypatch.setattr("cli.stacks.ROOT", tmp_path)
    assert main(["validate", "--stack", "fresh"]) == 0
    assert f"not pinned, which the policies refuse: image {POSTAL}" in capsys.readouterr().out


# --- the registry ---------------------------------------------------------------------------------------------------

MANIFEST = b'{"schemaVersion": 2}'
COMPUTED = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"


class Registry(http.server.BaseHTTPRequestHandler):
    """Answers by the name of the repository, as registries of the field do."""

    seen: list[str]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer HEAD and GET."""
        host = self.headers["Host"]
        login = self.headers.get("Authorization", "")
        self.seen.append(f"{self.command} {self.path} {login}")
        if self.path.startswith("/token"):
            self._answer(200, json.dumps({"token": "anybody"}).encode())
        elif "/slow/" in self.path:
            time.sleep(3)
        elif "/private/" in self.path:
            self._answer(401, WWW_Authenticate='Basic realm="private"')
        elif "/public/" in self.path and login != "Bearer anybody":
            asked = f'Bearer realm="http://{host}/token",service="here",scope="repository:public/relay:pull"'
            self._answer(401, WWW_Authenticate=asked)
        elif "/silent/" in self.path:
            self._answer(200, MANIFEST)
        elif "/broken/" in self.path:
            self._answer(500)
        elif self.path.endswith("/1"):
            self._answer(200, MANIFEST, Docker_Content_Digest=ONE)
        else:
            self._answer(404)

    do_HEAD = do_GET  # noqa: N815 - named by the library


@pytest.fixture
def registry() -> Iterator[tuple[str, list[str]]]:
    """A registry on this machine, and what it was asked."""
    seen: list[str] = []
    with served(type("Handler", (Registry,), {"seen": seen})) as place:
        yield place, seen


@contextmanager
def served(handler: type[Registry]) -> Iterator[str]:
    """Serve on a free port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_public_image_is_asked_for_with_the_token_that_anybody_gets(
    registry: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = registry
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password planted\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert digest_of(f"{place}/public/relay:1", seconds=5) == ONE
    assert seen == [
        "HEAD /v2/public/relay/manifests/1 ",
        "GET /token?service=here&scope=repository%3Apublic%2Frelay%3Apull ",
        "HEAD /v2/public/relay/manifests/1 Bearer anybody",
    ]


def test_a_registry_that_tells_no_digest_is_read_and_its_answer_hashed(registry: tuple[str, list[str]]) -> None:
    assert digest_of(f"{registry[0]}/silent/relay:1", seconds=5) == COMPUTED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("private/relay:1", "wants a login for private/relay"),
        ("mail/relay:9", "has no mail/relay:9"),
        ("broken/relay:1", "answered 500"),
        ("slow/relay:1", "did not answer in time"),
    ],
)
def test_a_registry_that_does_not_say_is_told_with_its_reason(
    name: str, why: str, registry: tuple[str, list[str]]
) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryError, match=why):
        digest_of(f"{registry[0]}/{name}", seconds=0.5 if "slow" in name else 5)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("mariadb:10.11", "https://registry-1.docker.io/v2/library/mariadb/manifests/10.11"),
        ("docker.io/library/mariadb:10.11", "https://registry-1.docker.io/v2/library/mariadb/manifests/10.11"),
        ("me/relay:1", "https://registry-1.docker.io/v2/me/relay/manifests/1"),
        ("ghcr.io/postalserver/postal:3.3.7", "https://ghcr.io/v2/postalserver/postal/manifests/3.3.7"),
        ("registry.example.com:5000/relay:1", "https://registry.example.com:5000/v2/relay/manifests/1"),
    ],
)
def test_a_name_of_an_image_is_read_as_docker_reads_it(image: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nobody(_method: str, asked_url: str, **_: object) -> None:
        asked.append(asked_url)
        raise RegistryError("asked")

    monkeypatch.setattr("requests.request", nobody)
    with pytest.raises(RegistryError, match="asked"):
        digest_of(image, seconds=5)
    assert asked == [url]


def test_a_person_is_not_asked_for_digests(tmp_path: Path) -> None:
    person = Person()
    init(tmp_path, given=WITH_POSTAL, asker=person, host_key=HOST_KEY)
    assert not any("digest" in text.lower() for text, _ in person.asked)
