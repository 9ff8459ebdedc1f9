"""The host of the program that a rehearsal serves to an engine, when a resource fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.common import SOURCE

# Others wait for the one that fails, and do something of their own meanwhile.
PROGRAM = """
import asyncio
import pulumi

class Made(pulumi.CustomResource):
    def __init__(self, name, opts=None, **inputs):
        super().__init__("t:index:Made", name, inputs, opts)

bad = Made("bad")
for number in range(6):
    first = Made(f"first{number}", pulumi.ResourceOptions(depends_on=[bad] if number % 2 else []))
    then = Made(f"then{number}", it=first.urn)
    async def wait(_):
        await asyncio.sleep(0.2)
    pulumi.export(f"out{number}", then.urn.apply(wait))
"""


@pytest.mark.slow
def test_a_resource_that_fails_beside_others_is_an_answer_and_no_traceback(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "tests.unit.failing_monitor", str(program)]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Resource monitor has terminated, shutting down"
