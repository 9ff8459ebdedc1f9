"""A program that ends with the look of ``components.verification``, and needs no plugin: its resources are components.

``wanted.json`` beside it says which resources there are, what the one check finds and what the settings ask for.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pulumi

from components.verification import verify_afterwards
from mailstack.plan import load_plan
from mailstack.verify import checks
from mailstack.verify.context import Context
from mailstack.verify.model import CHECKS, Check, Finding, fail, ok
from tests.unit.stack_examples import example


def look(_context: Context) -> Iterator[Finding]:
    wrong = fail("example.com", "wrong", expected="right", fix="mend it")
    yield wrong if WANTED["wrong"] else ok("example.com", "fine")


WANTED = json.loads((Path(__file__).parent / "wanted.json").read_text())
assert checks, "they enter themselves once, when they are imported: here, to be taken out again"
CHECKS.clear()
CHECKS["spf"] = Check(number=14, name="spf", group="C", title="Made up", source="RFC 1", look=look)

made = [pulumi.ComponentResource("test:index:Part", name, {"text": WANTED["text"]}) for name in WANTED["parts"]]
verify_afterwards(load_plan(example(verify={"after_up": WANTED["after_up"]})), made)
pulumi.export("text", WANTED["text"])
