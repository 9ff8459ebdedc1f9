"""What the rehearsal ground is made of, without Docker: archives, images, ranges, keys, owners."""

import contextlib
import ipaddress
import os
import subprocess
from pathlib import Path

import pytest

from rehearsal.ground import Ground, GroundError, image, leftovers
from rehearsal.ground.archive import Entry, pack, pack_tree, unpack_file
from rehearsal.ground.image import image_tag
from rehearsal.ground.keys import make_key
from rehearsal.ground.labels import KEEP, OWNER, OWNER_START, ground_labels, is_leftover
from rehearsal.ground.leftovers import Piece
from rehearsal.ground.machine import Machine, Mirror, debian_mirrors, split_certificates
from rehearsal.ground.network import POOL, candidates, machine_routes
from rehearsal.ground.state import process_start

PEM = "-----BEGIN CERTIFICATE-----\nMIIB{}\n-----END CERTIFICATE-----\n"


def dead_process() -> tuple[int, str]:
    """Return id and start time of a process that has just ended."""
    with subprocess.Popen(["sleep", "60"]) as process:
        started = process_start(process.pid)
        process.kill()
    assert started is not None
    return process.pid, started


def test_debian_archives_are_found_in_both_source_formats() -> None:
    deb822 = (
        "Types: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main contrib\n\n"
        "# security\nTypes: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\nComponents: main\n"
    )
    one_line = (
        "# deb http://commented.test/debian bookworm main\n"
        "deb [arch=amd64 trusted=yes] http://two.test/debian bookworm main\n"
    )
    assert debian_mirrors("bookworm", [("debian.sources", deb822), ("sources.list", one_line)]) == (
        Mirror(uri="http://mirror.test/debian", suffix=""),
        Mirror(uri="http://mirror.test/debian", suffix="-updates"),
        Mirror(uri="http://mirror.test/security", suffix="-security"),
        Mirror(uri="http://two.test/debian", suffix=""),
    )


@pytest.mark.parametrize(
    "line",
    [
        "deb http://vendor.test/apt cloud-sdk-bookworm main",
        "deb http://vendor.test/linux/debian bookworm stable",
        "deb http://vendor.test/pgdg bookworm-pgdg main",
        "deb-src http://mirror.test/debian bookworm main",
    ],
)
def test_archives_of_other_vendors_do_not_get_into_the_image(line: str) -> None:
    assert debian_mirrors("bookworm", [("vendor.list", line)]) == ()


def test_disabled_sources_do_not_get_into_the_image() -> None:
    text = "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
    assert (
        debian_mirrors("bookworm", [("debian.sources", text), ("old.list.disabled", "deb http://x bookworm main")])
        == ()
    )


def test_a_bundle_is_split_into_single_certificates() -> None:
    text = f"# first\n{PEM.format(1)}\n# second\n{PEM.format(2)}"
    assert split_certificates(text) == (PEM.format(1), PEM.format(2))


def test_image_name_follows_everything_that_goes_into_the_image() -> None:
    def tag(*, settings: tuple[str, ...] = (), certificates: tuple[str, ...] = (), uri: str = "http://a.test") -> str:
        mirrors = (Mirror(uri=uri, suffix=""),)
        return image_tag(
            Machine(mirrors=mirrors, apt_settings=settings, apt_logins={}, certificates=certificates, bundle=None)
        )

    names = {tag(), tag(settings=("x",)), tag(certificates=(PEM.format(1),)), tag(uri="http://b.test")}
    assert len(names) == 4
    assert tag() == tag()


def test_an_address_range_in_use_is_never_chosen() -> None:
    free = list(candidates("demo", []))
    assert len(free) == 256
    assert len(set(free)) == 256
    taken = [free[0], ipaddress.IPv4Network("10.213.128.0/17")]
    left = list(candidates("demo", taken))
    assert len(left) == len([network for network in free if not any(network.overlaps(other) for other in taken)])
    assert not any(network.overlaps(other) for network in left for other in taken)
    assert all(network.subnet_of(POOL) for network in left)


def test_no_address_range_is_left_when_the_machine_routes_the_whole_pool() -> None:
    assert list(candidates("demo", [ipaddress.IPv4Network("10.0.0.0/8")])) == []


def test_routes_are_read_without_the_default_route(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n"
        "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        "tun0 0000D50A 00000000 0001 0 0 0 0000FFFF 0 0 0\n"
    )
    assert machine_routes(table) == [ipaddress.IPv4Network("192.0.2.0/24"), ipaddress.IPv4Network("10.213.0.0/16")]


def test_an_archive_keeps_contents_modes_and_owners(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "__pycache__").mkdir()
    script = tmp_path / "tree" / "sub" / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    entries = pack_tree(tmp_path / "tree", "/opt/tree", owner="daemon:mail")
    assert [(entry.target, entry.content) for entry in entries] == [
        ("/opt/tree", None),
        ("/opt/tree/sub", None),
        ("/opt/tree/sub/run.sh", b"#!/bin/sh\n"),
    ]
    stream = pack(entries)
    listing = subprocess.run(["tar", "-tv"], input=stream, capture_output=True, check=True).stdout.decode().splitlines()
    assert listing[2].startswith("-rwxr-xr-x daemon/mail")
    assert unpack_file(stream) == b"#!/bin/sh\n"


def test_a_relative_target_is_refused() -> None:
    with pytest.raises(ValueError, match="not absolute"):
        pack([Entry(target="etc/motd", content=b"")])


def test_a_living_owner_is_told_from_a_dead_one_and_from_a_process_id_used_again() -> None:
    mine = ground_labels("demo", keep=False, state=Path("x"))
    assert not is_leftover(mine)
    assert is_leftover(mine | {OWNER_START: "1"})
    pid, started = dead_process()
    assert is_leftover(mine | {OWNER: str(pid), OWNER_START: started})
    assert not is_leftover(mine | {OWNER: str(pid), OWNER_START: started, KEEP: "true"})
    assert not is_leftover({"com.example.unrelated": "1"})


@pytest.mark.parametrize("name", ["", "Upper", "-start", "end-", "with_underscore", "../escape", "a" * 41])
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(GroundError, match="RFC 1123"):
        Ground(name)


def test_opening_a_ground_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(GroundError, match="no ground 'absent'"):
        Ground.open("absent", state_root=tmp_path)


def test_client_keys_are_private_and_stay_the_same(tmp_path: Path) -> None:
    first = make_key(tmp_path / "keys" / "id_ed25519")
    assert first.private_file.stat().st_mode & 0o777 == 0o600
    assert first.private_file.parent.stat().st_mode & 0o777 == 0o700
    assert first.public.startswith("ssh-ed25519 AAAA")
    assert make_key(first.private_file) == first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "pulled", "said"),
    [
        ("echo bookworm: Pulling from library/debian; sleep 1.5; echo Digest: x", True, []),
        ("echo no such host >&2; exit 1", False, ["cannot pull debian:bookworm: no such host"]),
        ("exec sleep 60", False, ["the image registry did not answer within 1 s"]),
    ],
    ids=["slow but answering", "unreachable", "silent"],
)
def test_the_image_registry_is_used_when_it_answers_and_never_waited_for(
    script: str, pulled: bool, said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\n{script}\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(image, "REGISTRY_TIMEOUT", 1.0)
    messages: list[str] = []
    assert image._pull(messages.append) is pulled
    assert messages == said


def test_making_the_image_from_packages_without_root_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine = Machine(mirrors=(), apt_settings=(), apt_logins={}, certificates=(), bundle=None)
    with pytest.raises(GroundError, match=r"needs root.*Fix:"):
        image._bootstrap(machine, print, tmp_path / "build.log")


def test_what_another_run_has_removed_in_the_meantime_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Piece(kind="network", identity="1", labels={}, running=False)

    def answer(said: bytes) -> None:
        result = subprocess.CompletedProcess([], 1, b"", said + b"\nexit status 1\n")
        monkeypatch.setattr(leftovers, "docker_try", lambda arguments: result)

    answer(b"Error response from daemon: network 1 not found")
    leftovers._remove([network])
    answer(b"Error response from daemon: network 1 has active endpoints")
    with pytest.raises(GroundError, match=r"active endpoints$"):
        leftovers._remove([network], seconds=0.0)


def test_a_network_that_docker_has_not_let_go_of_yet_is_removed_when_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Piece(kind="network", identity="1", labels={}, running=False)
    answers = iter([b"Error response from daemon: network 1 has active endpoints\nexit status 1\n", b""])
    asked: list[list[str]] = []

    def docker(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
        asked.append(arguments)
        return subprocess.CompletedProcess([], 0, b"", next(answers))

    monkeypatch.setattr(leftovers, "docker_try", docker)
    leftovers._remove([network])
    assert asked == [["network", "rm", "1"]] * 2


@pytest.mark.parametrize(("on_it", "fails"), [(b"0\n", False), (b"2\n", True), (b"", True)])
def test_a_network_that_docker_never_lets_go_of_is_told_and_stops_nobody(
    on_it: bytes, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def docker(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
        said = (on_it, b"") if arguments[1] == "inspect" else (b"", b"network 1 has active endpoints\n")
        return subprocess.CompletedProcess([], 1, *said)

    monkeypatch.setattr(leftovers, "docker_try", docker)
    told: list[str] = []
    network = Piece(kind="network", identity="1", labels={}, running=False)
    with pytest.raises(GroundError) if fails else contextlib.nullcontext():
        leftovers._remove([network], told.append, seconds=0.0)
    assert ("until it is restarted" in "".join(told)) is not fails
