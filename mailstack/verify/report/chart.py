"""Drawings of the report, as SVG: the shares of the states, and the last runs. Colours are classes of ``page.css``."""

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from mailstack.verify.history import Past
from mailstack.verify.model import State
from mailstack.verify.report.rows import ORDER, WORDS, stamp

__all__ = ["CLASSES", "history_chart", "shares"]

CLASSES: Mapping[State, str] = {**{state: state.value for state in State}, State.NOT_APPLICABLE: "na"}
# What does not apply says nothing about how it goes; the highest of these is on top of the others.
DRAWN = (State.OK, State.UNKNOWN, State.WARN, State.FAIL)
WIDTH, HEIGHT, BASE, TOP = 480, 210, 186, 14
LEFT, MOST_RUNS, WIDEST_BAR, GAP = 34, 40, 22, 3


def shares(found: Mapping[State, int]) -> str:
    """Return a bar in which each state has its share of the findings; what it shows is said in words beside it."""
    total = sum(found.values())
    svg = ET.Element("svg", {"viewBox": "0 0 100 8", "preserveAspectRatio": "none", "aria-hidden": "true"})
    begun = 0.0
    for state in ORDER:
        if found.get(state):
            width = 100 * found[state] / total
            box = {
                "x": f"{begun:.2f}",
                "y": "0",
                "width": f"{width:.2f}",
                "height": "8",
                "class": f"f-{CLASSES[state]}",
            }
            ET.SubElement(svg, "rect", box)
            begun += width
    return ET.tostring(svg, encoding="unicode")


def history_chart(past: Sequence[Past]) -> str:
    """Return a column for each of the last runs, oldest on the left, with its states on top of each other."""
    runs = list(past)[-MOST_RUNS:]
    highest = max((sum(run.counts.get(state, 0) for state in DRAWN) for run in runs), default=0) or 1
    words = f"{len(runs)} runs from {stamp(runs[0].started)} to {stamp(runs[-1].started)}. Last: {_in_words(runs[-1])}."
    svg = ET.Element("svg", {"class": "chart", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": words})
    step = min((WIDTH - LEFT) / len(runs), WIDEST_BAR + GAP)
    for number, run in enumerate(runs):
        column = ET.SubElement(svg, "g")
        ET.SubElement(column, "title").text = f"{stamp(run.started)}: {_in_words(run)}"
        bottom = float(BASE)
        for state in DRAWN:
            height = (BASE - TOP) * run.counts.get(state, 0) / highest
            if height:
                box = {"x": LEFT + number * step, "y": bottom - height, "width": step - GAP, "height": height}
                attributes = {name: f"{value:.2f}" for name, value in box.items()}
                ET.SubElement(column, "rect", {**attributes, "class": f"f-{CLASSES[state]}"})
                bottom -= height
    line = {"x1": str(LEFT), "x2": str(WIDTH), "y1": str(BASE), "y2": str(BASE), "class": "axis"}
    ET.SubElement(svg, "line", line)
    for height, text in ((TOP + 4, str(highest)), (BASE, "0")):
        ET.SubElement(svg, "text", {"x": str(LEFT - 8), "y": str(height), "text-anchor": "end"}).text = text
    ends = [(LEFT, "start", runs[0])]
    if len(runs) > 1:
        ends.append((max(round(LEFT + len(runs) * step - GAP), 250), "end", runs[-1]))
    for place, anchor, run in ends:
        when = stamp(run.started)[:16].replace("T", " ")
        ET.SubElement(svg, "text", {"x": str(place), "y": str(BASE + 17), "text-anchor": anchor}).text = when
    return ET.tostring(svg, encoding="unicode")


def _in_words(run: Past) -> str:
    parts = [f"{run.counts[state]} {WORDS[state]}" for state in ORDER if run.counts.get(state)]
    return ", ".join(parts) or "nothing"
