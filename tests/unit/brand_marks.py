"""A logo that is right, and mark certificates for it, good ones and others, of an authority that nobody knows."""

import base64
import datetime as dt
import gzip
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

LOGO = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<svg xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 512 512">\n'
    "  <title>Example</title>\n"
    '  <defs><linearGradient id="g"><stop offset="0" stop-color="#036"/></linearGradient></defs>\n'
    '  <rect width="512" height="512" fill="url(#g)"/><circle cx="256" cy="256" r="128" fill="#fff"/>\n'
    "</svg>\n"
)
MARK_USE = ObjectIdentifier("1.3.6.1.5.5.7.3.31")
LOGOTYPE = ObjectIdentifier("1.3.6.1.5.5.7.1.12")


def der(tag: int, *parts: bytes) -> bytes:
    """Return a DER element."""
    content = b"".join(parts)
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + length + content


def logotype(url: bytes) -> bytes:
    """Return the extension of RFC 9399 with one image of the subject."""
    algorithm = der(0x30, bytes.fromhex("0609608648016503040201"))
    details = der(
        0x30,
        der(0x16, b"image/svg+xml"),
        der(0x30, der(0x30, algorithm, der(0x04, bytes(32)))),
        der(0x30, der(0x16, url)),
    )
    return der(0x30, der(0xA2, der(0xA0, der(0x30, der(0x30, details)))))


def data_url(svg: str, *, packed: bool = True) -> bytes:
    """Return a logo as the URL that certificates have."""
    content = gzip.compress(svg.encode()) if packed else svg.encode()
    return b"data:image/svg+xml;base64," + base64.b64encode(content)


class Authority:
    """Issues mark certificates, by way of one in between."""

    def __init__(self) -> None:
        self.key, self.between_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self._authority("Root", self.key, "Root", self.key)
        self.between = self._authority("Between", self.between_key, "Root", self.key)

    def _authority(
        self, name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        made = _builder(name, issuer, key, now - dt.timedelta(days=400), now + dt.timedelta(days=4000))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return made.sign(by, hashes.SHA256())

    def trusted(self, folder: Path, *others: bytes) -> Path:
        """Write the root, and others, to a file of authorities."""
        file = folder / "authorities.pem"
        file.write_bytes(self.root.public_bytes(Encoding.PEM) + b"".join(others))
        return file

    def mark(
        self,
        *names: str,
        url: bytes | None = None,
        use: ObjectIdentifier | None = MARK_USE,
        days: tuple[float, float] = (-10, 300),
        whole: bool = True,
    ) -> bytes:
        """Return a certificate, and the one between, as PEM. ``url`` is its logo (empty: none), ``days`` its time."""
        now = dt.datetime.now(dt.UTC)
        begins, ends = (now + dt.timedelta(days=days_, minutes=1) for days_ in days)
        key = ec.generate_private_key(ec.SECP256R1())
        made = _builder("Example", "Between", key, begins, ends)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        if use is not None:
            made = made.add_extension(x509.ExtendedKeyUsage([use]), False)
        logo = data_url(LOGO) if url is None else url
        if logo:
            made = made.add_extension(x509.UnrecognizedExtension(LOGOTYPE, logotype(logo)), False)
        chain = (made.sign(self.between_key, hashes.SHA256()), *((self.between,) if whole else ()))
        return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


WEB_USE = ExtendedKeyUsageOID.SERVER_AUTH


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, begins: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
