"""The pipe that is standard output of Postfix's programs here: their log is /dev/stdout."""

import os
import pwd

__all__ = ["log_pipe"]


def log_pipe() -> tuple[int, int]:
    """Return both ends: to read, to write.

    It belongs to user postfix. postsuper(1), part of `postfix check` and of each start, goes through the queue as that
    user and opens its log anew to tell what it finds odd, such as half a message that a crash has left. Where it may
    not, Postfix does not start.
    """
    told, telling = os.pipe()
    os.fchown(telling, pwd.getpwnam("postfix").pw_uid, -1)
    return told, telling
