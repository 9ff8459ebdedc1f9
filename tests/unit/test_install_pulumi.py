"""scripts/install-pulumi.sh against a download site on loopback, with archives that hold shell scripts."""

import hashlib
import io
import os
import re
import socket
import subprocess
import tarfile
import threading
import time
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "install-pulumi.sh"
SCRIPT_TEXT = SCRIPT.read_text()
VERSIONS = dict(re.findall(r"^readonly (\w+)_VERSION=(\S+)$", SCRIPT_TEXT, re.MULTILINE))
CLI = f"pulumi-v{VERSIONS['PULUMI']}-linux-x64.tar.gz"
COMMAND = f"pulumi-resource-command-v{VERSIONS['COMMAND']}-linux-amd64.tar.gz"
CLOUDFLARE = f"pulumi-resource-cloudflare-v{VERSIONS['CLOUDFLARE']}-linux-amd64.tar.gz"
SITE_FOLDER = {CLI: "sdk", COMMAND: "plugins", CLOUDFLARE: "plugins"}

# Does what `pulumi plugin install resource NAME VERSION --file ARCHIVE` does, and prints its version otherwise.
FAKE_CLI = """#!/bin/sh
[ "$1 $2 $3" = "plugin install resource" ] || { echo the-fake-cli; exit 0; }
folder=$PULUMI_HOME/plugins/resource-$4-$5
mkdir -p "$folder" && tar -xzf "$7" -C "$folder"
"""


def _archive(member: str, text: str) -> bytes:
    """Return a .tar.gz with one executable file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size, entry.mode = len(text.encode()), 0o755
        archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder and notes what was asked for."""

    def __init__(self, requested: list[str], *args: Any, **kwargs: Any) -> None:
        self.requested = requested
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        self.requested.append(self.path)


class Machine:
    """One machine with a download site next to it: runs the script and tells what it left behind."""

    def __init__(self, root: Path, base_url: str, requested: list[str]) -> None:
        self.base_url, self.requested = base_url, requested
        self.site, self.tools, self.pulumi_home = root / "site", root / "tools", root / "pulumi-home"
        self.programs, self.digests = root / "programs", root / "digests"
        self.publish(CLI, _archive("pulumi/pulumi", FAKE_CLI))
        self.publish(COMMAND, _archive("pulumi-resource-command", "#!/bin/sh\n"))
        self.publish(CLOUDFLARE, _archive("pulumi-resource-cloudflare", "#!/bin/sh\n"))
        self.pretend_processor("x86_64")
        self.trust(*SITE_FOLDER)

    def publish(self, name: str, content: bytes) -> None:
        """Put an archive on the site."""
        path = self.site / SITE_FOLDER[name] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def trust(self, *names: str) -> None:
        """Write the digests of what is on the site now; archives not named are unknown to the script."""
        lines = [
            f"{hashlib.sha256((self.site / SITE_FOLDER[name] / name).read_bytes()).hexdigest()}  {name}\n"
            for name in names
        ]
        self.digests.write_text("".join(lines))

    def pretend_processor(self, machine: str) -> None:
        """Make the tests mean the same on every developer's machine."""
        answer = f'#!/bin/sh\n[ "$1" = -m ] && echo {machine} || echo Linux\n'
        _executable(self.programs / "uname", answer)

    def install(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.programs),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "PULUMI_HOME": str(self.pulumi_home),
            "MAILSTACK_TOOLS": str(self.tools),
            "MAILSTACK_PULUMI_BASE_URL": self.base_url,
            "MAILSTACK_PULUMI_DIGESTS": str(self.digests),
        }
        return subprocess.run(
            [str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def left_behind(self) -> list[Path]:
        """Return every file and folder that the script made."""
        return [path for root in (self.tools, self.pulumi_home) for path in [root, *root.rglob("*")] if path.exists()]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    requested: list[str] = []
    handler = partial(_Handler, requested, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Machine(tmp_path, f"http://127.0.0.1:{server.server_port}", requested)
        server.shutdown()
        thread.join()


def test_archives_with_the_right_digest_are_installed_and_run(machine: Machine) -> None:
    result = machine.install()

    assert result.returncode == 0, result.stderr
    link = machine.tools / "bin" / "pulumi"
    assert subprocess.run([str(link)], capture_output=True, text=True, check=True).stdout == "the-fake-cli\n"
    for name in ("command", "cloudflare"):
        folder = machine.pulumi_home / "plugins" / f"resource-{name}-v{VERSIONS[name.upper()]}"
        assert os.access(folder / f"pulumi-resource-{name}", os.X_OK)
    assert result.stdout == (
        f"install-pulumi: installed {link} v{VERSIONS['PULUMI']}, plugin command v{VERSIONS['COMMAND']}, "
        f"plugin cloudflare v{VERSIONS['CLOUDFLARE']}\n"
    )
    assert not list(machine.tools.glob(".download*"))


def test_second_run_downloads_and_changes_nothing(machine: Machine) -> None:
    machine.install()
    before = {path: path.lstat().st_mtime_ns for path in machine.left_behind() if path != machine.tools}
    machine.requested.clear()

    result = machine.install()

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("install-pulumi: nothing to do, there is ")
    assert result.stdout.count("\n") == 1
    assert machine.requested == []
    assert {path: path.lstat().st_mtime_ns for path in machine.left_behind() if path != machine.tools} == before


def test_only_what_is_missing_is_downloaded_again(machine: Machine) -> None:
    machine.install()
    machine.requested.clear()
    plugin = next((machine.pulumi_home / "plugins").glob("resource-command-*")) / "pulumi-resource-command"
    plugin.unlink()

    assert machine.install().returncode == 0

    assert plugin.exists()
    assert machine.requested == [f"/plugins/{COMMAND}"]


@pytest.mark.parametrize("tampered", [CLI, COMMAND, CLOUDFLARE])
def test_wrong_digest_of_any_archive_exits_4_and_leaves_nothing(machine: Machine, tampered: str) -> None:
    machine.publish(tampered, _archive("pulumi/pulumi", "#!/bin/sh\necho not what was published\n"))

    result = machine.install()

    assert result.returncode == 4
    assert f"{tampered} has SHA-256 " in result.stderr
    assert machine.left_behind() == []


def test_unreachable_site_exits_3_within_seconds_and_leaves_nothing(machine: Machine) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        machine.base_url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        result = machine.install()

    assert result.returncode == 3
    assert time.monotonic() - started < 10
    assert f"cannot download {machine.base_url}/sdk/{CLI}" in result.stderr
    assert machine.left_behind() == []


def test_file_that_the_site_does_not_have_exits_3_and_leaves_nothing(machine: Machine) -> None:
    (machine.site / "plugins" / COMMAND).unlink()

    result = machine.install()

    assert result.returncode == 3
    assert f"/plugins/{COMMAND}" in result.stderr
    assert "404" in result.stderr
    assert machine.left_behind() == []


def test_archive_without_a_known_digest_is_never_downloaded(machine: Machine) -> None:
    machine.trust(CLI, CLOUDFLARE)

    result = machine.install()

    assert result.returncode == 1
    assert f"no SHA-256 is known for {COMMAND}" in result.stderr
    assert f"/plugins/{COMMAND}" not in machine.requested
    assert machine.left_behind() == []


def test_cloudflare_plugin_without_a_known_digest_is_left_out_and_said_so(machine: Machine) -> None:
    machine.trust(CLI, COMMAND)

    result = machine.install()

    assert result.returncode == 0, result.stderr
    assert f"plugin cloudflare v{VERSIONS['CLOUDFLARE']} left out" in result.stdout
    assert not list((machine.pulumi_home / "plugins").glob("resource-cloudflare-*"))


def test_unsupported_processor_is_refused_by_name(machine: Machine) -> None:
    machine.pretend_processor("riscv64")

    result = machine.install()

    assert result.returncode == 1
    assert "no pinned Pulumi for Linux on riscv64" in result.stderr
    assert machine.requested == []


def test_if_missing_keeps_a_pulumi_that_is_on_path(machine: Machine) -> None:
    _executable(machine.programs / "pulumi", "#!/bin/sh\n")

    result = machine.install("--if-missing")

    assert result.returncode == 0, result.stderr
    assert str(machine.programs / "pulumi") in result.stdout
    assert machine.requested == []
    assert machine.left_behind() == []


def test_every_pinned_version_has_a_digest_for_this_script() -> None:
    digests = {
        name: digest for digest, name in re.findall(r"^(\S+)  (pulumi-\S+\.tar\.gz)$", SCRIPT_TEXT, re.MULTILINE)
    }

    on_arm = {name.replace("x64", "arm64").replace("amd64", "arm64") for name in (CLI, COMMAND)}
    assert set(digests) == {CLI, COMMAND, CLOUDFLARE} | on_arm
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values())
    assert len(set(digests.values())) == len(digests)


@pytest.mark.parametrize("plugin", ["command", "cloudflare"])
def test_plugin_has_the_version_of_its_pinned_sdk(plugin: str) -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]

    assert f"pulumi-{plugin}=={VERSIONS[plugin.upper()]}" in dependencies
