"""The shape of what a domain may have in DNS beyond mail's own records: CAA, reports about TLS, a logo."""

from typing import Annotated

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import Selector, matching

__all__ = ["BimiLogo", "Caa", "TlsRpt"]

# The DNS rules say more; here only what no record could hold.
OneLine = Annotated[
    str,
    matching(
        r"[\x20-\x7e]{1,255}",
        "must be one line of ASCII, 255 characters at most",
        "write it as the record has it, such as letsencrypt.org",
    ),
]


class Caa(Section):
    """Which CAs may issue certificates for the domain and what is below it (RFC 8659).

    ``caa: {}`` permits those that issue for this stack's names there. Values are as in the record:
    ``issue: ["letsencrypt.org; validationmethods=http-01"]``.
    """

    issue: tuple[OneLine, ...] | None = Field(
        default=None, description="CAs, by their CAA name. Absent: those of Caddy's certificates. Empty list: nobody."
    )
    issuewild: tuple[OneLine, ...] | None = Field(
        default=None, description="CAs for wildcards. Absent: as issue. Empty list: nobody."
    )
    issuemail: tuple[OneLine, ...] | None = Field(
        default=None, description="CAs for S/MIME (RFC 9495). Absent: nothing is said. Empty list: nobody."
    )
    iodef: tuple[OneLine, ...] = Field(default=(), description="Mail addresses or URLs that hear of refused requests.")
    critical: bool = Field(default=False, description="Flag 128: a CA that does not know a tag must not issue.")


class TlsRpt(Section):
    """Who gets daily reports about TLS of the domain's incoming mail (RFC 8460)."""

    rua: tuple[OneLine, ...] = Field(min_length=1, description="Mail addresses or https URLs.")


class BimiLogo(Section):
    """The logo that mail programs may show beside the domain's mail (BIMI); it needs DMARC quarantine or reject."""

    logo: OneLine = Field(description="https URL of an SVG Tiny PS image (l).")
    certificate: OneLine | None = Field(
        default=None, description="https URL of its mark certificate, PEM (a). Some mailbox providers want one."
    )
    selector: Selector = Field(default="default", description="Label before ._bimi.")
