"""The TXT record that names a brand's logo (draft-brand-indicators-for-message-identification, BIMI)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from mailstack.dns.problems import Findings, shown

__all__ = ["Bimi", "read_bimi"]


@dataclass(frozen=True, kw_only=True)
class Bimi:
    """``logo``: https URL of an SVG Tiny PS image. ``certificate``: https URL of its mark certificate, PEM, or None.

    ``selector`` is the label before ``_bimi``; mail names another one than "default" in a header.
    """

    logo: str
    certificate: str | None = None
    selector: str = "default"


def read_bimi(bimi: Bimi, domain: str, findings: Findings) -> str | None:
    """Return the record text; None where a URL is wrong, which is noted."""
    label = f"{domain} BIMI"
    wrong = [
        (field, url)
        for field, url in (("logo", bimi.logo), ("certificate", bimi.certificate))
        if url is not None and not _is_https(url)
    ]
    for field, url in wrong:
        findings.error(
            label,
            "bimi-url",
            found=f"{shown(url)} as {field}",
            expected="a URL with https, without blanks, commas and semicolons: nothing else is fetched",
            fix=f"serve it over https and write that address into `bimi.{field}`",
        )
    if not wrong and not urlsplit(bimi.logo).path.lower().endswith((".svg", ".svgz")):
        findings.warn(
            label,
            "bimi-format",
            found=f"{shown(bimi.logo)} as logo",
            expected="an SVG Tiny PS image, which ends in .svg",
            fix="convert the logo and write its address into `bimi.logo`",
        )
    certificate = "" if bimi.certificate is None else f"; a={bimi.certificate}"
    return None if wrong else f"v=BIMI1; l={bimi.logo}{certificate}"


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not any(character in url for character in " ,;")
    return plain and parts.scheme == "https" and bool(parts.hostname)
