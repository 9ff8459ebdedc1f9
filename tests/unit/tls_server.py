"""A server on loopback that shows a certificate to whoever connects."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import trustme

__all__ = ["greeting_server"]


@contextlib.contextmanager
def greeting_server(certificate: trustme.LeafCert) -> Iterator[int]:
    """Serve one TLS handshake; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                plain, _ = listening.accept()
                with context.wrap_socket(plain, server_side=True):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)
