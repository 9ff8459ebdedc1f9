"""Programs that read what a stack tells: the sample applications and the readers of dotenv files."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme

ROOT = Path(__file__).resolve().parents[2]
# What npm says where the registry cannot be reached. Whatever else it says is a mistake of ours.
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")


def installed(source: Path, folder: Path) -> Path:
    """Copy a Node package and install what its lock names, checked by its hashes. Skips where that cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no Node on this machine: node and npm are needed for the sample application in Node")
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stderr for word in NO_NETWORK):
        pytest.skip(f"npm cannot reach its registry: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """A certificate for loopback addresses that ``authority`` issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
    return context
