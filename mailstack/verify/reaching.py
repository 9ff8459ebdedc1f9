"""Opens connections to the addresses that are looked at, and tells a closed port from one that does not answer."""

import socket

from mailstack.verify.context import Context

__all__ = ["Unreached", "connect"]

# One lost SYN is sent again after a second, two after three.
CONNECT_SECONDS = 4.0
# Postfix's postscreen lets strangers wait six seconds for its greeting.
REPLY_SECONDS = 15.0
PROVIDER = "; many providers block outgoing connections to port 25, so look from another place too"


class Unreached(Exception):  # noqa: N818 - it is an outcome
    """There is no connection. ``refused``: somebody said no; else nobody said anything, and nothing is known."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        """``why`` is for people."""
        super().__init__(why)
        self.refused = refused


def connect(context: Context, host: str, address: str, port: int) -> socket.socket:
    """Return a connection whose replies are waited for ``REPLY_SECONDS``. Raises Unreached.

    ``Around.places`` may send it elsewhere, by address or by the host's name.
    """
    place = context.around.placed(host, address, port)
    if ":" in place[0] and not context.dns.ipv6:
        raise Unreached("this machine has no IPv6")
    try:
        seconds, for_replies = context.left(CONNECT_SECONDS), context.left(REPLY_SECONDS)
    except TimeoutError as error:
        raise Unreached(str(error)) from None
    try:
        connection = socket.create_connection(place, timeout=seconds)
        connection.settimeout(for_replies)
    except ConnectionRefusedError:
        raise Unreached("connection refused", refused=True) from None
    except TimeoutError:
        raise Unreached("no answer in time" + (PROVIDER if port == 25 else "")) from None
    except OSError as error:
        raise Unreached(f"no connection: {error.strerror or error}") from None
    return connection
