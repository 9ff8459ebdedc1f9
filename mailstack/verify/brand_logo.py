"""The rules of SVG Tiny PS, the profile that BIMI logos have (draft-svg-tiny-ps-abrotman, on SVG Tiny 1.2).

By hand, on the standard library's expat, which is told to refuse document types and so all entities: checkdmarc reads
version, profile, title and size, and looks neither for scripts nor for what is loaded from elsewhere.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

__all__ = ["LARGEST", "Fault", "Logo", "inflated", "read_logo"]

LARGEST = 32 * 1024  # bytes; section 2.4, and where Gmail stops
TITLE_LENGTH = 64
SVG, XLINK, XML = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://www.w3.org/XML/1998/namespace"
GZIP = b"\x1f\x8b"
# SVG Tiny 1.2 without what section 2.3 takes away: images, links, multimedia, scripts, interaction, animation, switch.
ELEMENTS = {
    *("svg", "title", "desc", "metadata", "defs", "g", "use"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "textArea", "tbreak"),
    *("linearGradient", "radialGradient", "stop", "solidColor"),
    *("font", "font-face", "font-face-src", "font-face-name", "font-face-uri", "glyph", "missing-glyph", "hkern"),
}
TAKEN_AWAY = {
    "script": "scripts",
    "handler": "scripts",
    "listener": "scripts",
    "animate": "animation",
    "animateColor": "animation",
    "animateMotion": "animation",
    "animateTransform": "animation",
    "animation": "animation",
    "discard": "animation",
    "mpath": "animation",
    "set": "animation",
    "image": "images of pixels",
    "foreignObject": "other formats within",
    "a": "links",
    "audio": "sound",
    "video": "video",
    "switch": "conditions",
    "style": "style sheets",
}
# Section 2.3: where they are there at all, they say this.
FIXED = {
    "zoomAndPan": "disable",
    "externalResourcesRequired": "false",
    "focusable": "false",
    "snapshotTime": "none",
    "playbackOrder": "all",
    "timelineBegin": "onLoad",
}
REFERENCES = {"href", f"{XLINK} href", f"{XML} base", "src"}
_HANDLER = re.compile(r"on[a-z]+")
_OUTSIDE = re.compile(r"url\(\s*['\"]?\s*(?!#)([^)'\"]*)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong, and what is right; ``grave``: receivers refuse it, else some do, or it looks bad."""

    found: str
    expected: str
    grave: bool = True


@dataclass(kw_only=True)
class Logo:
    """What was read of a logo: its faults, the gravest first, and its title."""

    faults: list[Fault] = field(default_factory=list)
    title: str = ""


class _RefusedError(Exception):
    """The document has what is not even read."""


def inflated(data: bytes, most: int) -> bytes:
    """Return what gzip holds (.svgz), at most ``most`` bytes and one more; other data as it is.

    Raises ValueError for what is no gzip after all.
    """
    if not data.startswith(GZIP):
        return data
    try:
        return zlib.decompressobj(wbits=31).decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(f"no gzip, though it begins so: {error}") from None


def read_logo(svg: bytes) -> Logo:
    """Hold a logo, not compressed, to the profile."""
    logo, reading = Logo(), _Reading()
    if len(svg) > LARGEST:
        logo.faults.append(Fault(found=f"more than {LARGEST} bytes", expected=f"at most {LARGEST} bytes (32 KB)"))
        return logo
    try:
        reading.read(svg)
    except _RefusedError as error:
        logo.faults.append(Fault(found=str(error), expected="an SVG without document type, entities and style sheets"))
        return logo
    except expat.ExpatError as error:
        logo.faults.append(Fault(found=f"no XML: {error}", expected="an SVG image"))
        return logo
    logo.title = " ".join("".join(reading.title).split())
    faults = [*reading.faults, *_title(reading, logo.title), *_root(reading.root)]
    logo.faults = sorted(dict.fromkeys(faults), key=lambda fault: not fault.grave)
    return logo


class _Reading:
    """Reads a document and notes what is in it. Names are "namespace name", attributes without namespace bare."""

    def __init__(self) -> None:
        self.root: dict[str, str] | None = None
        self.titles = 0
        self.title: list[str] = []
        self.faults: list[Fault] = []
        self._path: list[str] = []

    def read(self, svg: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(svg, True)

    def _doctype(self, *_: object) -> None:
        raise _RefusedError("it has a document type (<!DOCTYPE>)")

    def _instruction(self, target: str, _: str) -> None:
        raise _RefusedError(f"it has an instruction <?{target}?>")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        namespace, _, local = name.rpartition(" ")
        if len(self._path) == 1:
            self.root = attributes if (namespace, local) == (SVG, "svg") else None
        elif namespace == SVG:
            self._element(local)
        elif f"{SVG} metadata" not in self._path:
            self._fault(f"<{local}> of {namespace or 'no namespace'}", "SVG alone, without what drawing programs leave")
        for attribute, value in attributes.items():
            self._attribute(local, attribute, value)

    def _element(self, local: str) -> None:
        if local == "title" and len(self._path) == 2:
            self.titles += 1
        if local == "svg":
            self._fault("<svg> within <svg>", "one")
        elif local not in ELEMENTS:
            kind = TAKEN_AWAY.get(local)
            self._fault(f"<{local}>", f"no {kind}" if kind else "elements of SVG Tiny PS only")

    def _attribute(self, local: str, attribute: str, value: str) -> None:
        if _HANDLER.fullmatch(attribute):
            self._fault(f"{attribute} at <{local}>", "no scripts")
        elif attribute == "style":
            self._fault(f"style at <{local}>", "no style sheets: write fill and the like as attributes")
        elif attribute in REFERENCES and not value.strip().startswith("#"):
            self._fault(f"<{local}> refers to {_short(value)}", "nothing from elsewhere, only #names of its own")
        elif (outside := _OUTSIDE.search(value)) is not None:
            self._fault(f"<{local}> refers to {_short(outside[1])}", "nothing from elsewhere, only #names of its own")
        elif attribute in FIXED and value != FIXED[attribute]:
            self._fault(f'{attribute}="{_short(value)}"', f'{attribute}="{FIXED[attribute]}", or none')

    def _fault(self, found: str, expected: str) -> None:
        self.faults.append(Fault(found=found, expected=expected))

    def _end(self, _: str) -> None:
        self._path.pop()

    def _text(self, text: str) -> None:
        if self._path[1:] == [f"{SVG} title"]:
            self.title.append(text)


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."


def _title(reading: _Reading, title: str) -> Iterator[Fault]:
    expected = "one <title> below <svg>, with the name of the company"
    if reading.root is None:
        return
    if reading.titles != 1:
        yield Fault(found=f"{reading.titles} titles" if reading.titles else "no title", expected=expected)
    elif not title:
        yield Fault(found="an empty title", expected=expected)
    elif len(title) > TITLE_LENGTH:
        yield Fault(found=f"a title of {len(title)} characters", expected=f"{TITLE_LENGTH} at most", grave=False)


def _root(root: dict[str, str] | None) -> Iterator[Fault]:
    if root is None:
        yield Fault(found=f"the outermost element is not <svg> of {SVG}", expected="an SVG image")
        return
    for attribute, right in (("version", "1.2"), ("baseProfile", "tiny-ps")):
        if root.get(attribute) != right:
            found = f'{attribute}="{_short(root[attribute])}"' if attribute in root else f"no {attribute}"
            yield Fault(found=found, expected=f'<svg version="1.2" baseProfile="tiny-ps" xmlns="{SVG}">')
    for attribute in ("x", "y"):
        if attribute in root:
            yield Fault(found=f"{attribute} at <svg>", expected="neither x nor y there")
    for attribute in ("width", "height"):
        if root.get(attribute, "").strip().endswith("%"):
            yield Fault(
                found=f'{attribute}="{_short(root[attribute])}"', expected="pixels: Gmail takes no part of 100 %"
            )
    yield from _box(root.get("viewBox"))


def _box(text: str | None) -> Iterator[Fault]:
    numbers = re.split(r"[\s,]+", text.strip()) if text else []
    if len(numbers) != 4 or not all(_NUMBER.fullmatch(number) for number in numbers):
        found = "no viewBox" if text is None else f'viewBox="{_short(text)}"'
        yield Fault(found=found, expected='four numbers, such as viewBox="0 0 512 512"')
        return
    width, height = float(numbers[2]), float(numbers[3])
    if width <= 0 or height <= 0:
        yield Fault(found=f'viewBox="{_short(text or "")}"', expected="a width and a height above 0")
    elif width != height:
        found = f"{numbers[2]} wide and {numbers[3]} high"
        yield Fault(found=found, expected="a square: it is shown in a square or a circle", grave=False)
