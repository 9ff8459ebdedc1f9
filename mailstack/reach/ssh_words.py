"""What the ssh program says when it does not get in, as one sentence for the person who has to mend it."""

import re

__all__ = ["MISMATCH", "reason"]

# How OpenSSH ends where another key answers than the one that is pinned.
MISMATCH = "Host key verification failed"
SENT = re.compile(r"key sent by the remote host is\s+(SHA256:[\w+/=]+)")
# The names that keys are looked up by (HostKeyAlias).
JUMP = "mailstack-jump"


def reason(said: str) -> str:
    """Return the reason in what ``ssh`` said on standard error; "" where it said nothing."""
    if MISMATCH in said:
        return _mismatch(said)
    line = "; ".join(line.strip() for line in said.splitlines() if line.strip())
    if "Permission denied (" in line:
        return f"{line} The key is in no authorized_keys of that user there (ssh.private_key, --identity or your agent)"
    return line


def _mismatch(said: str) -> str:
    sent = SENT.search(said)
    shown = f" ({sent[1]})" if sent else ""
    whose = "the jump host" if JUMP in said else "it"
    return (
        f"{MISMATCH}: {whose} shows another key{shown} than host_key pins. The machine was made anew, or another one "
        "answers in its place: compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console, and "
        "only where they are equal set host_key and run `pulumi up`"
    )
