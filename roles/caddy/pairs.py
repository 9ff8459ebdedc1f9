"""A certificate chain and its key: read them, and say what is wrong with them, with the openssl program.

The key is handed to openssl on its standard input; it is never on a command line.
"""

import functools
import hashlib
import os
import re
import shutil
import ssl
import tempfile
from typing import List, Optional

from rolelib.commands import run

__all__ = ["SYSTEM_AUTHORITIES", "Certificate", "covers", "problems", "read_certificate", "read_text", "split"]

SYSTEM_AUTHORITIES = "system"
DAY_SECONDS = 86_400
# A host's clock and that of the issuer may differ a little; X.509 has no leeway of its own.
CLOCK_LEEWAY_SECONDS = 60

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Certificate:
    """What matters of one certificate: names, issuer, dates (seconds since 1970) and SHA-256 of its DER form."""

    def __init__(self, pem: str, subject: str, issuer: str, names: List[str], not_before: int, not_after: int) -> None:
        """Hold the values as given."""
        self.pem = pem
        self.subject = subject
        self.issuer = issuer
        self.names = names
        self.not_before = not_before
        self.not_after = not_after
        self.sha256 = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    def days_left(self, now: float) -> int:
        """Return whole days until it expires, negative after that."""
        return int((self.not_after - now) // DAY_SECONDS)


def read_text(path: str) -> Optional[str]:
    """Return the text of ``path``, None where it cannot be read; line ends as they are."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            return handle.read()
    except OSError:
        return None


def split(text: str) -> List[str]:
    """Return the certificates of a PEM text, in order, each with a line end."""
    return [block + "\n" for block in _PEM.findall(text.replace("\r\n", "\n"))]


@functools.lru_cache(maxsize=64)
def read_certificate(pem: str) -> Certificate:
    """Read one certificate. Raises ValueError for a text that is none."""
    argv = ["openssl", "x509", "-noout", "-subject", "-issuer", "-dates", "-ext", "subjectAltName"]
    result = run([*argv, "-nameopt", "RFC2253"], stdin=pem, check=False)
    fields = dict(re.findall(r"^(subject|issuer|notBefore|notAfter)= ?(.*)$", result.out, re.MULTILINE))
    if not result.ok or "notAfter" not in fields:
        raise ValueError(f"openssl cannot read the certificate: {_last_line(result.err)}")
    return Certificate(
        pem,
        fields.get("subject", ""),
        fields.get("issuer", ""),
        [name.lower() for name in re.findall(r"DNS:([^\s,]+)", result.out)],
        int(ssl.cert_time_to_seconds(fields["notBefore"])),
        int(ssl.cert_time_to_seconds(fields["notAfter"])),
    )


def covers(names: List[str], host: str) -> bool:
    """Tell whether one of a certificate's names stands for ``host``; a wildcard is one label (RFC 6125 §6.4.3)."""
    _, _, parent = host.partition(".")
    return host in names or (bool(parent) and f"*.{parent}" in names)


def problems(chain: str, key: str, hosts: List[str], now: float, authorities: Optional[str]) -> List[str]:
    """Return what is wrong with a chain (leaf first) and its key, in words with the fix; empty: they can be used.

    ``hosts`` must all be covered. ``authorities``: SYSTEM_AUTHORITIES or the path of a CA file that the chain must
    end at; None: only the links between the certificates of the chain are checked.
    """
    blocks = split(chain)
    if not blocks:
        return ["the certificate has no -----BEGIN CERTIFICATE----- block: give it as PEM"]
    try:
        certificates = [read_certificate(block) for block in blocks]
    except ValueError as error:
        return [str(error)]
    found = _key_problems(blocks[0], key)
    found += _date_problems(certificates, now)
    missing = [host for host in hosts if not covers(certificates[0].names, host)]
    if missing:
        has = ", ".join(certificates[0].names) or "no DNS name"
        found.append(
            f"the certificate does not cover {', '.join(missing)} (it has {has}): have one issued for all names"
        )
    found += _chain_problems(certificates, authorities)
    return found


def _key_problems(leaf: str, key: str) -> List[str]:
    if "ENCRYPTED" in key:
        return ["the private key is encrypted: give it without a passphrase, the stack's secrets protect it"]
    of_key = run(["openssl", "pkey", "-pubout"], stdin=key, check=False)
    if not of_key.ok:
        return ["the private key cannot be read by openssl: give it as PEM (PKCS #8, RSA or EC)"]
    of_leaf = run(["openssl", "x509", "-noout", "-pubkey"], stdin=leaf, check=False)
    if of_key.out.strip() != of_leaf.out.strip():
        return ["the private key does not belong to the certificate: their public keys differ"]
    return []


def _date_problems(certificates: List[Certificate], now: float) -> List[str]:
    found = []
    for certificate in certificates:
        if certificate.not_after <= now:
            late = int((now - certificate.not_after) // DAY_SECONDS)
            found.append(f"{certificate.subject} has expired {late} days ago: renew it")
        if certificate.not_before > now + CLOCK_LEEWAY_SECONDS:
            early = int((certificate.not_before - now) // DAY_SECONDS) + 1
            found.append(f"{certificate.subject} is not valid before {early} days from now: check the host's clock")
    return found


def _chain_problems(certificates: List[Certificate], authorities: Optional[str]) -> List[str]:
    directory = tempfile.mkdtemp(prefix="mailstack-chain-")
    try:
        paths = []
        for number, certificate in enumerate(certificates):
            paths.append(os.path.join(directory, f"{number}.pem"))
            with open(paths[-1], "w", encoding="ascii") as handle:
                handle.write(certificate.pem)
        for parent in range(1, len(paths)):
            child = parent - 1
            if not _signed_by(paths[child], paths[parent]):
                what = (
                    f"certificate {parent} of the chain ({certificates[child].subject}) is not issued by the one "
                    f"below it ({certificates[parent].subject}): put the leaf first, then each issuer in order"
                )
                return [what]
        return [] if authorities is None else _root_problems(certificates, paths, authorities)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _signed_by(child: str, parent: str) -> bool:
    # Dates are judged apart, with a better message.
    argv = ["openssl", "verify", "-no_check_time", "-partial_chain", "-trusted", parent, child]
    return run(argv, check=False).ok


def _root_problems(certificates: List[Certificate], paths: List[str], authorities: str) -> List[str]:
    argv = ["openssl", "verify", "-no_check_time", "-purpose", "sslserver"]
    if authorities != SYSTEM_AUTHORITIES:
        if not os.path.isfile(authorities):
            return [f"ca_file {authorities} is no file on this host"]
        argv += ["-CAfile", authorities, "-no-CApath"]
    for path in paths[1:]:
        argv += ["-untrusted", path]
    result = run([*argv, paths[0]], check=False)
    if result.ok:
        return []
    place = "the authorities of the system" if authorities == SYSTEM_AUTHORITIES else authorities
    reason = re.search(r"error \d+ at \d+ depth lookup: ?(.+)", result.out + result.err)
    why = reason.group(1).strip() if reason else _last_line(result.err)
    fix = f"append the certificate of {certificates[-1].issuer}, or name its CA as ca_file"
    return [f"the chain does not end at {place} ({why}): {fix}"]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
