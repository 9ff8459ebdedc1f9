"""Reads files of aggregate reports: XML, .gz, .zip and messages that carry them. Parsed by parsedmarc, offline.

Anybody may send reports: a file that is too large, also once unpacked, is refused before anything parses it.
"""

import email
import email.policy
import importlib
import io
import ipaddress
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

__all__ = ["MAX_FILE_BYTES", "MAX_REPORT_BYTES", "NotInstalledError", "Reports", "Row", "read_reports"]

MAX_FILE_BYTES = 25_000_000  # what large providers accept as a message
MAX_REPORT_BYTES = 50_000_000  # unpacked; the largest that are seen have a few
MAX_MEMBERS = 20  # of a zip file; a report is one
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"


class NotInstalledError(RuntimeError):
    """parsedmarc is not there; the text says how to install it."""


class _RefusedError(ValueError):
    """A file that is no report, or cannot be read safely."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """So many messages that one source sent with one outcome, as one reporter saw them.

    ``organisation`` has the source's address, as parsedmarc's own list of networks says; "" where it does not know.
    ``dkim`` are the signatures: domain, selector and result. ``passed``: DMARC did, by an aligned one of the two.
    """

    reporter: str
    domain: str
    policy: str
    begin: date
    end: date
    source: str
    organisation: str = ""
    count: int
    header_from: str
    dkim_aligned: bool
    spf_aligned: bool
    dkim: tuple[tuple[str, str, str], ...] = ()
    spf_domain: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether DMARC passed."""
        return self.dkim_aligned or self.spf_aligned


@dataclass(frozen=True, kw_only=True)
class Reports:
    """All rows, how many reports they came in, and the files that were refused: name to reason."""

    rows: tuple[Row, ...]
    reports: int
    refused: Mapping[str, str]


def read_reports(files: Iterable[Path]) -> Reports:
    """Read files; a report that is in two of them counts once. Raises NotInstalledError."""
    parse = _parser()
    rows: list[Row] = []
    seen: set[tuple[str, str]] = set()
    refused: dict[str, str] = {}
    for path in files:
        try:
            documents = list(_documents(_content(path)))
            parsed = [parse(document) for document in documents]
        except _RefusedError as error:
            refused[path.name] = str(error)
            continue
        for report in parsed:
            metadata = report["report_metadata"]
            identity = (str(metadata["org_name"]), str(metadata["report_id"]))
            if identity not in seen:
                seen.add(identity)
                rows += _rows(report)
    return Reports(rows=tuple(rows), reports=len(seen), refused=refused)


def _parser() -> Any:
    try:
        # Only this command needs it, and it is not among the program's packages.
        parsedmarc = importlib.import_module("parsedmarc")
    except ImportError:
        raise NotInstalledError(
            "reading reports needs the package parsedmarc: pip install -r requirements-dev.txt"
        ) from None

    def parse(document: bytes) -> Any:
        try:
            return parsedmarc.parse_aggregate_report_xml(document, offline=True, always_use_local_files=True)
        except parsedmarc.ParserError as error:
            raise _RefusedError(f"is no aggregate report: {' '.join(str(error).split())}") from None

    return parse


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _RefusedError(f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise _RefusedError(f"has more than {MAX_FILE_BYTES:,} bytes")
    return content


def _documents(content: bytes) -> Iterator[bytes]:
    """Yield the XML documents in a file."""
    if content.startswith(GZIP):
        yield _inflated(content)
    elif content.startswith(ZIP):
        yield from _unzipped(content)
    elif content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        yield content
    else:
        yield from _attached(content)


def _inflated(content: bytes) -> bytes:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = inflate.decompress(content, MAX_REPORT_BYTES + 1)
    except zlib.error as error:
        raise _RefusedError(f"is a broken gzip file: {error}") from None
    if len(found) > MAX_REPORT_BYTES:
        raise _RefusedError(_too_large())
    if not inflate.eof:
        raise _RefusedError("is a gzip file that was cut off")
    return found


def _unzipped(content: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".xml")]
            if not names or len(archive.namelist()) > MAX_MEMBERS:
                raise _RefusedError(f"is a zip file with {len(archive.namelist())} members, {len(names)} of them XML")
            left = MAX_REPORT_BYTES
            for name in names:
                with archive.open(name) as member:
                    found = member.read(left + 1)  # what the directory says of sizes may be a lie
                left -= len(found)
                if left < 0:
                    raise _RefusedError(_too_large())
                yield found
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, OSError) as error:
        raise _RefusedError(f"is a zip file that cannot be opened: {error}") from None


def _attached(content: bytes) -> Iterator[bytes]:
    message = email.message_from_bytes(content, policy=email.policy.default)
    found = False
    for part in message.walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes) and payload.startswith((GZIP, ZIP, b"<?xml", b"<feedback")):
            found = True
            yield from _documents(payload)
    if not found:
        raise _RefusedError("is neither XML, gzip nor zip, nor a message with one of them attached")


def _too_large() -> str:
    return f"unpacks to more than {MAX_REPORT_BYTES:,} bytes"


def _rows(report: Any) -> Iterator[Row]:
    metadata, published = report["report_metadata"], report["policy_published"]
    for record in report["records"]:
        signatures = record["auth_results"]["dkim"]
        spf = record["auth_results"]["spf"]
        yield Row(
            reporter=str(metadata["org_name"]),
            domain=str(published["domain"]).lower(),
            policy=str(published["p"]),
            begin=_day(metadata["begin_date"]),
            end=_day(metadata["end_date"]),
            source=_address(str(record["source"]["ip_address"])),
            organisation=str(record["source"].get("name") or record["source"].get("as_name") or ""),
            count=int(record["count"]),
            header_from=str(record["identifiers"]["header_from"] or "").lower(),
            dkim_aligned=bool(record["alignment"]["dkim"]),
            spf_aligned=bool(record["alignment"]["spf"]),
            dkim=tuple(
                (str(one["domain"]).lower(), str(one.get("selector") or ""), str(one["result"])) for one in signatures
            ),
            spf_domain=str(spf[0]["domain"] or "").lower() if spf else "",
        )


def _day(text: str) -> date:
    return datetime.fromisoformat(text).date()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text
