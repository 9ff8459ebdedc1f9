"""Checks of BIMI: the record, the logo it names, the mark certificate that vouches for the logo."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailstack.dns.tags import tags_of
from mailstack.verify.answer import Answer
from mailstack.verify.brand_logo import LARGEST, inflated, read_logo
from mailstack.verify.context import Context
from mailstack.verify.fetching import fetch
from mailstack.verify.mark_certificate import read_mark
from mailstack.verify.model import Finding, check, fail, not_applicable, ok, unknown, warn
from mailstack.verify.target import DomainTarget
from mailstack.verify.tree_walk import organizational_domain, walk

__all__: list[str] = []

DRAFT = "draft-brand-indicators-for-message-identification"
MEANT = re.compile(r"v\s*=\s*BIMI", re.IGNORECASE)
DEFAULT = "default"
REDIRECTS = 3
LARGEST_CERTIFICATE = 256 * 1024  # one or two logos in base64, and the certificates between
LOGO_TYPE = "image/svg+xml"


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What is at one selector. ``declared`` is the record that should be there, None where nothing is declared.

    ``tags`` is None where there is not exactly one record that says version and logo.
    """

    domain: str
    selector: str
    answer: Answer
    texts: tuple[str, ...]
    declared: str | None = None
    tags: dict[str, str] | None = None

    @property
    def name(self) -> str:
        return f"{self.selector}._bimi.{self.domain}"

    @property
    def subject(self) -> str:
        return self.domain if self.selector == DEFAULT else self.name

    def url(self, tag: str) -> str:
        """Return what a tag names, empty where it names nothing."""
        return (self.tags or {}).get(tag, "")


def _records(context: Context, domain: DomainTarget) -> list[_Record]:
    """Return what is at the default selector, and at those that are declared besides."""
    end = f"._bimi.{domain.name}"
    others = {
        name.removesuffix(end): text for name, kind, text in domain.records if kind == "TXT" and name.endswith(end)
    }
    return [_record(context, domain.name, *one) for one in {DEFAULT: domain.bimi, **others}.items()]


def _record(context: Context, domain: str, selector: str, declared: str | None) -> _Record:
    answer = context.dns.look(f"{selector}._bimi.{domain}", "TXT")
    texts = tuple(value for value in answer.values if MEANT.match(value.strip('" ')))
    tags = tags_of(texts[0]) if len(texts) == 1 else None
    good = tags is not None and "l" in tags and tags.get("v") == "BIMI1"
    return _Record(
        domain=domain, selector=selector, answer=answer, texts=texts, declared=declared, tags=tags if good else None
    )


@check(
    number=37,
    name="bimi",
    group="F",
    title="The BIMI record names a logo over HTTPS, and DMARC is enforced",
    source=f"{DRAFT} §4.3, §7.1",
)
def bimi(context: Context) -> Iterator[Finding]:
    """Read the records below ``_bimi``, and the DMARC policy that counts.

    By hand: checkdmarc's reader fetches logo and certificate on its own, without a limit of ours.
    """
    yield from context.domains(
        lambda domain: [found for one in _records(context, domain) for found in _judged(context, one)]
    )


def _judged(context: Context, record: _Record) -> Iterable[Finding]:
    subject = record.subject
    if not record.answer.known:
        return [unknown(subject, record.answer.why)]
    if not record.texts:
        if record.declared is None:
            return [not_applicable(subject, "no BIMI")]
        return [fail(subject, "no record", str(record.answer), expected=record.declared, fix="run `pulumi up`")]
    if record.tags is None:
        texts = record.texts
        what = f"{len(texts)} records" if len(texts) > 1 else f"no record with version and logo: {texts[0]}"
        expected = "one record 'v=BIMI1; l=https://...svg; a=https://...pem'"
        return [fail(subject, what, *texts, expected=expected, fix=f"correct the record at {record.name}")]
    if not record.url("l"):
        return [ok(subject, f"{record.texts[0]}: it declines to show a logo")]
    found = [
        fail(subject, f"{tag}={url}", expected="an https:// address", fix=f"serve it over HTTPS: {record.name}")
        for tag in ("l", "a")
        if (url := record.url(tag)) and not url.lower().startswith("https://")
    ]
    lax = _not_enforced(context, record.domain)
    if lax:
        found.append(
            warn(
                subject,
                f"a logo, but DMARC is not enforced: nobody shows it ({lax})",
                expected="p=quarantine or p=reject for all mail, here and at the organizational domain, and no sp=none",
                fix="set `domains[].dmarc.policy`",
            )
        )
    return found or [ok(subject, record.texts[0])]


def _not_enforced(context: Context, domain: str) -> str:
    """Return which record lets forged mail through, of the domain or its organizational one; empty where none does."""
    both = {domain, organizational_domain(context, domain)}
    steps = [step for step in walk(context, domain) if step.tags and step.name in both]
    for step in steps:
        tags = {name.lower(): value.lower() for name, value in step.tags.items()}
        policy = tags.get("p", "none")
        if policy not in {"quarantine", "reject"}:
            return f"p={policy} at {step.name}"
        if tags.get("sp") == "none":
            return f"sp=none at {step.name}"
        if tags.get("t") == "y":
            return f"t=y at {step.name}"
        if policy == "quarantine" and tags.get("pct", "100") != "100":
            return f"pct={tags['pct']} at {step.name}"
    return "" if steps else "there is no record"


@check(
    number=37,
    name="bimi-logo",
    group="F",
    title="The logo is there, and is SVG Tiny PS: square, 32 KB at most, without scripts and references",
    source=f"{DRAFT} §4.3; draft-svg-tiny-ps-abrotman §2",
    uses="expat",
)
def bimi_logo(context: Context) -> Iterator[Finding]:
    """Fetch every logo that a record names, and read it."""
    yield from context.domains(
        lambda domain: (
            [_logo(context, record) for record in _records(context, domain) if _wanted(record, "l")]
            or [not_applicable(domain.name, "no BIMI record names a logo")]
        )
    )


def _wanted(record: _Record, tag: str) -> bool:
    return record.url(tag).lower().startswith("https://")


def _logo(context: Context, record: _Record) -> Finding:
    url, subject = record.url("l"), record.subject
    served = _served_logo(context, url)
    if isinstance(served, _Missing):
        return served.finding(
            subject, "the logo", "image/svg+xml at that address, over HTTPS with a trusted certificate"
        )
    logo = read_logo(served.svg)
    details = (url, *(fault.found for fault in logo.faults[1:]))
    if logo.faults:
        first = logo.faults[0]
        return (fail if first.grave else warn)(
            subject,
            f"the logo: {first.found}",
            *details,
            expected=first.expected,
            fix="correct the file, or export it anew as SVG Tiny PS (bimigroup.org has converters), and serve it there",
        )
    if served.kind != LOGO_TYPE:
        return warn(
            subject,
            f"the logo is served as {served.kind or 'nothing that is named'}",
            *details,
            expected=f"Content-Type: {LOGO_TYPE}",
            fix="set the type in the web server",
        )
    return ok(subject, f"{len(served.svg)} bytes, titled {logo.title!r}", url)


@dataclass(frozen=True, kw_only=True)
class _Missing:
    problem: str
    late: bool

    def finding(self, subject: str, what: str, expected: str) -> Finding:
        """Return what is told about it."""
        if self.late:
            return unknown(subject, self.problem)
        fix = f"serve it where the record says, or correct the record; nobody shows a logo without {what}"
        return fail(subject, f"{what}: {self.problem}", expected=expected, fix=fix)


@dataclass(frozen=True, kw_only=True)
class _Served:
    svg: bytes
    kind: str


def _fetched(context: Context, url: str, largest: int) -> _Missing | _Served:
    found = fetch(context, url, largest=largest, redirects=REDIRECTS, inside=False)
    if found.problem:
        return _Missing(problem=found.problem, late=found.late)
    if found.status != 200:
        return _Missing(
            problem=f"{url} is answered with {found.status}", late=found.status == 429 or found.status >= 500
        )
    return _Served(svg=found.body, kind=found.kind)


def _served_logo(context: Context, url: str) -> _Missing | _Served:
    def ask() -> _Missing | _Served:
        found = _fetched(context, url, LARGEST)
        if isinstance(found, _Missing):
            return found
        try:
            return _Served(svg=inflated(found.svg, LARGEST), kind=found.kind)
        except ValueError as error:
            return _Missing(problem=f"{url}: {error}", late=False)

    return context.once(("bimi logo", url), ask)


@check(
    number=37,
    name="bimi-certificate",
    group="F",
    title="The mark certificate is valid, for this domain and this logo",
    source=f"draft-fetch-validation-vmc-wchuang §5; {DRAFT} §4.3; RFC 9399",
    uses="cryptography, and the authorities of checkdmarc",
)
def bimi_certificate(context: Context) -> Iterator[Finding]:
    """Fetch every certificate that a record names, and read it."""
    yield from context.domains(
        lambda domain: (
            [_certificate(context, record) for record in _records(context, domain) if _wanted(record, "a")]
            or [not_applicable(domain.name, "no BIMI record names a mark certificate; Gmail and Apple want one")]
        )
    )


def _certificate(context: Context, record: _Record) -> Finding:
    url, subject = record.url("a"), record.subject
    served = context.once(("bimi certificate", url), lambda: _fetched(context, url, LARGEST_CERTIFICATE))
    if isinstance(served, _Missing):
        expected = "PEM at that address, over HTTPS with a trusted certificate"
        return served.finding(subject, "the mark certificate", expected)
    logo = _served_logo(context, record.url("l")) if _wanted(record, "l") else None
    mark = read_mark(
        served.svg,
        _names(context, record),
        logo=logo.svg if isinstance(logo, _Served) else None,
        authorities=context.around.authorities,
    )
    if not mark.faults:
        return ok(subject, "the mark certificate is valid, for this domain and this logo", url, *mark.lines)
    first, *others = mark.faults
    return (fail if first.grave else warn)(
        subject,
        f"the mark certificate: {first.found}",
        url,
        *(fault.found for fault in others),
        *mark.lines,
        expected=first.expected,
        fix="get a mark certificate for this domain and this logo, and serve it, with those between, where a= says",
    )


def _names(context: Context, record: _Record) -> list[str]:
    """Return the names that a certificate for the record may have: exactly these, nothing below them."""
    domains = dict.fromkeys((record.domain, organizational_domain(context, record.domain)))
    return [name for domain in domains for name in (domain, f"{record.selector}._bimi.{domain}")]
