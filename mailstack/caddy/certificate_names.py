"""Which host names a certificate is valid for."""

from collections.abc import Collection

__all__ = ["covers", "names_in"]


def names_in(chain: str) -> frozenset[str] | None:
    """Return the names in the first certificate of a PEM chain, in lower case; None for what is no certificate."""
    # Only a stack with a certificate of its own pays for what this needs.
    from cryptography import x509  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(chain.encode("ascii", "replace"))
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    except ValueError:
        return None
    return frozenset(name.lower() for name in found.get_values_for_type(x509.DNSName))


def covers(names: Collection[str], host: str) -> bool:
    """Tell whether one of ``names`` is ``host``; ``*`` stands for one label (RFC 9525 §6.3)."""
    return host in names or f"*.{host.partition('.')[2]}" in names
