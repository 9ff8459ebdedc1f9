"""The program ``openssl s_client``, for what Python's ssl cannot ask: renegotiation, and 0-RTT with a kept session.

It has a connection of its own, where ``Around.places`` says. Its output is read up to what is waited for, each wait is
bounded, and the program ends with the block that started it.
"""

import contextlib
import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from mailstack.verify.context import Context
from mailstack.verify.listeners import Endpoint
from mailstack.verify.smtp import STARTTLS

__all__ = ["NoOpenSsl", "Talk", "talk"]

OLDEST = (1, 1, 1)  # the first with TLS 1.3
VERSION_SECONDS = 5.0
# What is said is a page or two; a server that talks without end is no TLS server.
MOST_BYTES = 1 << 20
_VERSION = re.compile(r"OpenSSL (\d+)\.(\d+)\.(\d+)")


class NoOpenSsl(Exception):  # noqa: N818 - it is an outcome
    """The program is not there, or too old; the text says which."""


@dataclass(kw_only=True)
class Talk:
    """A program that runs. ``said`` is all it has printed, ``ended`` whether its output is over."""

    program: subprocess.Popen[bytes]
    context: Context
    said: str = ""
    ended: bool = False
    _reading: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def __post_init__(self) -> None:
        """Watch the output."""
        self._reading.register(self._output, selectors.EVENT_READ)

    @property
    def _output(self) -> IO[bytes]:
        assert self.program.stdout is not None  # noqa: S101 - tells the type checker; ``talk`` makes it a pipe
        return self.program.stdout

    def say(self, line: str) -> None:
        """Give it a line. One that begins with R asks for renegotiation, others go to the server."""
        assert self.program.stdin is not None  # noqa: S101 - as above
        with contextlib.suppress(OSError):  # it has ended, as reading will show
            self.program.stdin.write(f"{line}\n".encode())
            self.program.stdin.flush()

    def until(self, pattern: str, seconds: float, *, since: int = 0) -> bool:
        """Read until ``pattern`` is in what was said after ``since``; False where the program ended without it.

        Raises TimeoutError.
        """
        end = time.monotonic() + self.context.left(seconds)
        while re.search(pattern, self.said[since:]) is None:
            if self.ended or len(self.said) > MOST_BYTES:
                return False
            if not self._reading.select(max(0.0, end - time.monotonic())):
                raise TimeoutError(f"no answer in {seconds:.0f} seconds")
            data = os.read(self._output.fileno(), 1 << 16)
            self.ended = not data
            self.said += data.decode("utf-8", "replace")
        return True

    def hang_up(self, seconds: float) -> None:
        """Say no more, and read what the program still has to print: it keeps part of that to its end."""
        assert self.program.stdin is not None  # noqa: S101 - as above
        with contextlib.suppress(OSError):
            self.program.stdin.close()
        self.until(r"\Z(?!)", seconds)

    def end(self) -> None:
        """End the program, whatever it does."""
        self._reading.close()
        self.program.kill()
        for pipe in (self.program.stdin, self.program.stdout):
            with contextlib.suppress(OSError):  # what was not yet taken is of no use any more
                assert pipe is not None  # noqa: S101 - as above
                pipe.close()
        self.program.wait()


@contextlib.contextmanager
def talk(context: Context, place: Endpoint, *options: str) -> Iterator[Talk]:
    """Connect to ``place`` with ``openssl s_client`` and these options. Raises NoOpenSsl.

    Whoever the server is, it is looked at, not trusted: another check judges its certificate.
    """
    program = context.once("openssl", _program)
    if isinstance(program, NoOpenSsl):
        raise program
    address, port = context.around.placed(place.host, place.address, place.port)
    shown = f"[{address}]" if ":" in address else address
    command = [program, "s_client", "-connect", f"{shown}:{port}", "-servername", place.certificate_name]
    command += ["-cipher", "ALL:@SECLEVEL=0", "-legacy_server_connect"]
    if place.tls == STARTTLS:
        # Without a name of ours it would say one that is somebody's.
        command += ["-starttls", "smtp", "-name", context.around.helo or "[127.0.0.1]"]
    started = subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    talking = Talk(program=started, context=context)
    try:
        yield talking
    finally:
        talking.end()


def _program() -> str | NoOpenSsl:
    path = shutil.which("openssl")
    if path is None:
        return NoOpenSsl("the program openssl is not on PATH here, and Python's ssl cannot ask this")
    try:
        done = subprocess.run([path, "version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return NoOpenSsl(f"{path} does not run: {error}")
    version = _VERSION.match(done.stdout)
    if version is None or tuple(map(int, version.groups())) < OLDEST:
        said = " ".join(done.stdout.split()) or "nothing"
        return NoOpenSsl(f"{path} is no OpenSSL 1.1.1 or newer: its version is {said!r}")
    return path
