"""The host key that a host shows: read before it is known, for a person to compare."""

import base64
import binascii
import hashlib
import subprocess

__all__ = ["HostKeyError", "fingerprint", "scan_host_key"]

SCAN_SECONDS = 5
# Longer than ssh-keyscan's own limit, for one that hangs in a name look-up.
LONGEST_SECONDS = 20
PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


class HostKeyError(RuntimeError):
    """No host key could be read; the text says why and what to do."""


def scan_host_key(address: str, port: int) -> str:
    """Return the key that answers at ``address`` now, as algorithm and base64. Whose it is, nobody has proved.

    Raises HostKeyError.
    """
    command = ["ssh-keyscan", "-T", str(SCAN_SECONDS), "-p", str(port), "-t", "ed25519,ecdsa,rsa", "--", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    except FileNotFoundError:
        raise HostKeyError("ssh-keyscan is not on PATH: install the OpenSSH client") from None
    except subprocess.TimeoutExpired:
        raise HostKeyError(f"{address} port {port} did not answer within {LONGEST_SECONDS} s") from None
    lines = (line.split() for line in done.stdout.splitlines() if not line.startswith("#"))
    keys = {parts[1]: f"{parts[1]} {parts[2]}" for parts in lines if len(parts) >= 3}
    found = next((keys[kind] for kind in PREFERRED if kind in keys), None)
    if found is None:
        why = next((line for line in done.stderr.splitlines() if not line.startswith("#")), "nothing answered")
        raise HostKeyError(f"{address} port {port} showed no host key: {why}")
    return found


def fingerprint(host_key: str) -> str:
    """Return what ssh shows of a key, ``SHA256:…``. Raises ValueError for what is no key."""
    parts = host_key.split()
    try:
        body = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error):
        raise ValueError(f'"{host_key[:40]}" is not algorithm and base64, such as ssh-ed25519 AAAA…') from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
