"""What the host should have, and how it differs. Pure: facts and settings in, words out."""

import datetime as dt
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from dns_server.query import Answer
from dns_server.servers import Config, Server, zone_file_name
from dns_server.zones import ZoneError, is_newer, next_serial, serial_of, with_held, with_serial, without_serial
from rolelib.host import RoleError

__all__ = ["Desired", "Facts", "desired", "differences", "global_addresses", "held", "served_wrong", "zone_texts"]

_NAME = re.compile(r"^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$")
# Interfaces that container engines and virtual machines bring: their addresses are nobody's name server.
_INNER = re.compile(r"^(docker|br-|veth|virbr|cni|flannel|cali|podman|lxc|lxd|kube)")


class Facts:
    """What was found on the host.

    ``zone_files``: file name -> text. ``answers``: (address, protocol, zone) -> answer, empty when the server does
    not run. ``file_problems``: what differs in mode or owner, in words.
    """

    def __init__(
        self,
        installed: bool,
        active: bool,
        enabled: bool,
        config: Optional[str],
        zone_files: Mapping[str, str],
        answers: Mapping[Tuple[str, str, str], Answer],
        today: dt.date,
    ) -> None:
        """Hold the values."""
        self.installed = installed
        self.active = active
        self.enabled = enabled
        self.config = config
        self.zone_files = zone_files
        self.answers = answers
        self.today = today


class Desired:
    """The configuration and, per zone, the text with its final serial."""

    def __init__(self, config: str, zones: Dict[str, str]) -> None:
        """Hold the values."""
        self.config = config
        self.zones = zones

    def serial(self, zone: str) -> int:
        """Return the serial of a zone."""
        return int(serial_of(self.zones[zone]) or 0)


def zone_texts(settings: Dict[str, Any]) -> Dict[str, str]:
    """Return zone name -> text from the settings. Raises RoleError for names or texts that cannot be used."""
    texts: Dict[str, str] = {}
    for entry in settings.get("zones", []):
        name = str(entry["name"]).rstrip(".").lower()
        if not _NAME.match(name):
            raise RoleError("settings", f"zone {entry['name']!r} is not a domain name (RFC 1035 section 2.3.1)")
        if name in texts:
            raise RoleError("settings", f"zone {name} is given twice")
        try:
            without_serial(str(entry["text"]))
        except ZoneError as error:
            raise RoleError("settings", f"zone {name}: {error}") from None
        texts[name] = str(entry["text"]).rstrip("\n") + "\n"
    if not texts:
        raise RoleError("settings", "no zones are given: a name server without zones has nothing to say")
    return texts


def held(texts: Mapping[str, str], settings: Mapping[str, Any], facts: Facts) -> Dict[str, str]:
    """Return the texts with the RRsets of setting ``hold`` as they are on this host now. Raises RoleError."""
    places = []
    for place in settings.get("hold") or []:
        if len(place) != 2:
            raise RoleError("settings", f"hold {place!r} is not a name and a type")
        places.append((str(place[0]), str(place[1])))
    return {zone: with_held(text, facts.zone_files.get(zone_file_name(zone)), places) for zone, text in texts.items()}


def global_addresses(text: str) -> List[str]:
    """Return the host's own global addresses from ``ip -o address show``; inner networks and spare ones left out."""
    found = []
    for line in text.splitlines():
        match = re.match(r"^\d+:\s+(\S+)\s+inet6?\s+([0-9a-f.:]+)", line)
        if not match or " scope global" not in line or _INNER.match(match.group(1)):
            continue
        # A temporary IPv6 address (RFC 8981) changes every day; a deprecated or tentative one is no use.
        if re.search(r"\b(temporary|deprecated|tentative)\b", line):
            continue
        found.append(match.group(2))
    return found


def desired(server: Server, config: Config, texts: Mapping[str, str], facts: Facts) -> Desired:
    """Return what should be there. A zone keeps its serial unless something else in it changed."""
    zones = {}
    for zone, text in texts.items():
        current = facts.zone_files.get(zone_file_name(zone))
        served = [
            answer.serial
            for (_, _, name), answer in facts.answers.items()
            if name == zone and answer.serial is not None
        ]
        serial = _kept_serial(current, text, served)
        if serial is None:
            serial = next_serial([*served, *_serials(current)], facts.today)
        zones[zone] = with_serial(text, serial)
    return Desired(server.render(config, server.zone_directory), zones)


def _serials(text: Optional[str]) -> List[int]:
    try:
        serial = serial_of(text) if text is not None else None
    except ZoneError:
        return []
    return [] if serial is None else [serial]


def _kept_serial(current: Optional[str], text: str, served: Sequence[int]) -> Optional[int]:
    """Return the serial on disk if it may stay: same content, and nothing newer was ever served."""
    for serial in _serials(current):
        same = current is not None and without_serial(current) == without_serial(text)
        if same and not any(is_newer(other, serial) for other in served):
            return serial
    return None


def differences(server: Server, wanted: Desired, facts: Facts) -> List[Tuple[str, str]]:
    """Return (step, what differs) in the order things are mended; empty when the host is as it should be."""
    found: List[Tuple[str, str]] = []
    if not facts.installed:
        found.append(("packages", f"package {server.name} is not installed"))
    if facts.config is None:
        found.append(("config", f"{server.config_path} is missing"))
    elif facts.config != wanted.config:
        found.append(("config", f"{server.config_path} has other content"))
    for zone, text in sorted(wanted.zones.items()):
        current = facts.zone_files.get(zone_file_name(zone))
        if current is None:
            found.append(("zones", f"zone {zone} is missing"))
        elif current != text:
            found.append(("zones", f"zone {zone} differs, its serial becomes {wanted.serial(zone)}"))
    names = {zone_file_name(zone) for zone in wanted.zones}
    found += [
        ("zones", f"zone {name[: -len('.zone')]} is not wanted any more")
        for name in sorted(facts.zone_files)
        if name not in names
    ]
    if facts.installed and not facts.enabled:
        found.append(("service", f"{server.name} does not start at boot"))
    if facts.installed and not facts.active:
        found.append(("service", f"{server.name} is not running"))
    elif not found:
        found += [("answers", what) for what in served_wrong(wanted, facts.answers)]
    return found


def served_wrong(wanted: Desired, answers: Mapping[Tuple[str, str, str], Answer]) -> List[str]:
    """Return what is wrong with the server's answers, in words."""
    problems = []
    for (address, protocol, zone), answer in sorted(answers.items()):
        place = f"{address} by {protocol.upper()}"
        if zone not in wanted.zones:
            if answer.authoritative or answer.serial is not None:
                problems.append(f"zone {zone} is still served at {place}")
            continue
        if answer.serial != wanted.serial(zone) or not answer.authoritative:
            problems.append(f"zone {zone} at {place}: {answer} instead of serial {wanted.serial(zone)}")
        if answer.recursive:
            problems.append(f"the server at {place} offers recursion")
    return problems
