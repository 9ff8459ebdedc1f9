"""The shape of records that do not follow from the stack: declared as they are, and TLSA."""

from typing import Annotated

from pydantic import Field

from mailstack.dns.rdata import RecordType
from mailstack.settings.section import Section
from mailstack.settings.types import HostName, OwnerName, Port, matching

__all__ = ["FurtherRecords", "TlsaRecords"]

Value = Annotated[
    str,
    matching(
        r"[^\x00-\x1f\x7f\x85\u2028\u2029]{1,3800}",
        "must be one line of text, 3,800 characters at most",
        "write it as a zone file has it, in quotes",
    ),
]


class FurtherRecords(Section):
    """Records of one name and type, in the form of a zone file.

    ``{name: www.example.com, type: A, values: [192.0.2.1]}``, ``{name: example.com, type: CAA, values: ['0 issue
    "letsencrypt.org"']}``. Text needs no quotes of its own.
    """

    name: OwnerName = Field(description="Whole name, inside one of the zones; *. in front is a wildcard.")
    type: RecordType = Field(description="Type.")
    values: tuple[Value, ...] = Field(min_length=1, description="One a record, such as `10 mx.example.net` for MX.")
    priority: int | None = Field(
        default=None, ge=0, le=65535, description="MX and SRV: written here, it does not stand in values."
    )
    ttl: int | None = Field(default=None, ge=60, le=86400, description="Seconds. Absent: dns.ttl.")


class TlsaRecords(Section):
    """What a server shows, for senders that ask DNSSEC (RFC 6698, RFC 7672): current and next key."""

    host: HostName = Field(description="Name of the server, as MX has it.")
    port: Port = Field(default=25, description="TCP port.")
    values: tuple[Value, ...] = Field(min_length=1, description="Such as `3 1 1` and 64 hexadecimal digits.")
