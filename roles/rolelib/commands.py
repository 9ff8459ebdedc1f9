"""Running commands on the host without ever showing a secret."""

import os
import subprocess
from typing import Dict, List, Optional, Sequence

__all__ = ["CommandError", "Result", "redact", "remember_secret", "run"]

# Kept after a failed command; enough to see a cause, short enough for a CI log.
TAIL_LINES = 20
DEFAULT_TIMEOUT_SECONDS = 300

_secrets: List[str] = []


def remember_secret(value: str) -> None:
    """Hide ``value`` in every later message. Strings under four characters would blank out ordinary text."""
    if len(value) >= 4 and value not in _secrets:
        _secrets.append(value)
        _secrets.sort(key=len, reverse=True)


def redact(text: str) -> str:
    """Return ``text`` with every remembered secret replaced by ``[secret]``."""
    for secret in _secrets:
        text = text.replace(secret, "[secret]")
    return text


class Result:
    """Exit code and output (text, standard error kept apart) of a finished command."""

    def __init__(self, argv: Sequence[str], code: int, out: str, err: str) -> None:
        """Hold the four values as given."""
        self.argv = list(argv)
        self.code = code
        self.out = out
        self.err = err

    @property
    def ok(self) -> bool:
        """Tell whether the command exited with 0."""
        return self.code == 0


class CommandError(Exception):
    """A command the role depends on failed; the text carries its last lines, redacted."""

    def __init__(self, result: Result) -> None:
        """Build the message from ``result``."""
        self.result = result
        lines = (result.out + result.err).strip().splitlines()[-TAIL_LINES:]
        Exception.__init__(
            self,
            redact("{} exited with {}\n{}".format(" ".join(result.argv), result.code, "\n".join(lines))).strip(),
        )


def run(
    argv: Sequence[str],
    stdin: Optional[str] = None,
    check: bool = True,
    timeout: int = DEFAULT_TIMEOUT_SECONDS,
    env: Optional[Dict[str, str]] = None,
) -> Result:
    """Run ``argv`` (never through a shell) and return its result.

    ``env`` adds to the environment; it must not hold secrets, others can read it. ``timeout`` is in seconds.
    Raises CommandError for a non-zero exit when ``check`` is set, for a time-out always. A missing program
    counts as exit code 127, as in a shell.
    """
    environment = dict(os.environ, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
    environment.update(env or {})
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
    except OSError as error:
        result = Result(argv, 127, "", str(error))
    else:
        try:
            out, err = process.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise CommandError(
                Result(argv, 124, out.decode(errors="replace"), f"no end after {timeout} seconds")
            ) from None
        result = Result(argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and not result.ok:
        raise CommandError(result)
    return result
