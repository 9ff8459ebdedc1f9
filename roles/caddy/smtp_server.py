"""Postal's SMTP server from outside: which containers run it, and which certificate it really serves."""

import hashlib
import shutil
import smtplib
import ssl
import time
from typing import List, Optional

from rolelib.commands import run

__all__ = ["Served", "ask", "containers", "restart", "wait_for"]

CONNECT_SECONDS = 10
RESTART_SECONDS = 240
POLL_SECONDS = 1.0
# A server that has answered with another certificate for so long has started and will not change its mind.
WRONG_SECONDS = 8
# States of Docker in which the process is meant to be there. A container somebody stopped stays stopped.
ALIVE = ("running", "restarting")


class Served:
    """What port 25 showed: SHA-256 of a certificate, or ``plain`` (no STARTTLS offered), or ``trouble`` in words."""

    def __init__(self, sha256: Optional[str] = None, plain: bool = False, trouble: Optional[str] = None) -> None:
        """Hold the values as given."""
        self.sha256 = sha256
        self.plain = plain
        self.trouble = trouble

    def __str__(self) -> str:
        """Say it in words."""
        if self.sha256:
            return f"the certificate {self.sha256[:16]}"
        return "no STARTTLS" if self.plain else f"nothing ({self.trouble})"


def containers(project: str, service: str) -> List[str]:
    """Return the ids of the running containers of a Compose service; empty where Docker is not there."""
    if not shutil.which("docker"):
        return []
    argv = ["docker", "ps", "--all", "--quiet", "--no-trunc"]
    labels = {"project": project, "service": service, "oneoff": "False"}
    for name, value in labels.items():
        argv += ["--filter", f"label=com.docker.compose.{name}={value}"]
    listed = run(argv, check=False)
    alive = []
    for identity in listed.out.split() if listed.ok else []:
        state = run(["docker", "inspect", "--format", "{{.State.Status}}", identity], check=False)
        if state.out.strip() in ALIVE:
            alive.append(identity)
    return alive


def restart(identities: List[str]) -> None:
    """Restart containers; each has its own grace period. Raises CommandError when Docker refuses."""
    run(["docker", "restart", *identities], timeout=RESTART_SECONDS)


def ask(address: str, port: int) -> Served:
    """Say EHLO and STARTTLS; return what was served. The certificate is compared by the caller, not trusted."""
    # Which authority signed it is not the question here, only whether it is the one we put there.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        client = smtplib.SMTP(address, port, timeout=CONNECT_SECONDS)
    except (OSError, smtplib.SMTPException) as error:
        return Served(trouble=str(error) or repr(error))
    try:
        client.ehlo()
        if not client.has_extn("starttls"):
            return Served(plain=True)
        client.starttls(context=context)
        certificate = client.sock.getpeercert(True)  # type: ignore[union-attr]  # a TLS socket from here on
        return Served(sha256=hashlib.sha256(certificate or b"").hexdigest())
    except (OSError, smtplib.SMTPException) as error:
        return Served(trouble=str(error) or repr(error))
    finally:
        client.close()


def wait_for(address: str, port: int, sha256: Optional[str], seconds: float) -> Served:
    """Ask until the certificate is served (``sha256`` None: until anything is), at most ``seconds``."""
    deadline = time.monotonic() + seconds
    wrong_since: Optional[float] = None
    while True:
        served, now = ask(address, port), time.monotonic()
        if served.trouble is None and sha256 in (None, served.sha256):
            return served
        if served.trouble is None:
            wrong_since = now if wrong_since is None else wrong_since
            deadline = min(deadline, wrong_since + WRONG_SECONDS)
        if now >= deadline:
            return served
        time.sleep(POLL_SECONDS)
