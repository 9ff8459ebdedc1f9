"""Makes the SSH keys of a ground with ssh-keygen(1)."""

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ground.errors import GroundError
from rehearsal.ground.state import private_directory

__all__ = ["KeyPair", "make_key"]


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """An ed25519 key pair on disk; ``public`` is ``ssh-ed25519 AAAA...`` without a comment."""

    private_file: Path
    public: str

    @property
    def private(self) -> str:
        """The private key in OpenSSH format, without a passphrase."""
        return self.private_file.read_text(encoding="utf-8")


# Hosts are created from several threads, and all of a ground share one login.
_MAKING = threading.Lock()


def make_key(path: Path) -> KeyPair:
    """Make an ed25519 key at ``path`` (mode 0600) unless one is there. Raises ``GroundError``."""
    with _MAKING:
        return _make_key(path, path.with_name(f"{path.name}.pub"))


def _make_key(path: Path, public_file: Path) -> KeyPair:
    if not (path.exists() and public_file.exists()):
        private_directory(path.parent)
        path.unlink(missing_ok=True)
        try:
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f", str(path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
        except FileNotFoundError as error:
            raise GroundError("ssh-keygen was not found. Fix: `apt-get install openssh-client`.") from error
        except subprocess.CalledProcessError as error:
            raise GroundError(f"ssh-keygen failed: {error.stderr.decode(errors='replace').strip()}") from error
    kind, blob, *_ = public_file.read_text(encoding="utf-8").split()
    return KeyPair(private_file=path, public=f"{kind} {blob}")
