"""What the how-to pages have a person type to begin a stack writes a stack file that is valid."""

import re
import shutil
from pathlib import Path

import pytest

from cli import stacks
from cli.main import main
from tests.unit.documents import ROOT
from tests.unit.stack_examples import HOST_KEY

pytestmark = pytest.mark.slow

DOCKER = [
    *(
        "init",
        "--stack",
        "shop",
        "--placement",
        "docker",
        "--domain",
        "example.com",
        "--host",
        "root@relay1.example.com",
    ),
    *("--upstream", "sendgrid", "--dns", "none", "--tls", "none"),
]
KUBERNETES = [
    *("init", "--stack", "mycompany", "--placement", "kubernetes", "--context", "prod"),
    *("--egress-address", "93.184.216.34", "--image", "registry.example.com/mail/postfix-relay:2026.11"),
    *("--upstream", "google-workspace", "--tls", "none"),
]
# What the pages leave to be asked for, or found out.
ANSWERS = {
    "docker": ["--host-key", HOST_KEY, "--public-ipv4", "93.184.216.34"],
    "kubernetes": ["--domain", "example.com", "--dns", "none"],
}


@pytest.mark.parametrize(
    ("page", "typed"),
    [("docs/how-to/relay-in-docker.md", DOCKER), ("docs/how-to/relay-on-kubernetes.md", KUBERNETES)],
)
def test_a_stack_begins_with_what_its_page_shows(
    page: str, typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.sub(r" *\\\n *", " ", (ROOT / page).read_text())
    assert f"$ mailstack {' '.join(typed)}\n" in shown
    monkeypatch.setattr(stacks, "ROOT", tmp_path)
    # Without Pulumi the file stays, without its secrets.
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    stack, placement = typed[2], typed[4]
    main([*typed, *ANSWERS[placement], "--yes", "--no-look"])
    assert f"wrote Pulumi.{stack}.yaml" in capsys.readouterr().out
    assert main(["validate", "--stack", stack]) == 0
