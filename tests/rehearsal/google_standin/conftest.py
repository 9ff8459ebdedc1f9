"""One stand-in for each file of tests, as new for each test."""

from collections.abc import Iterator

import pytest

from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, RelayRule, StandinConfig
from tests.rehearsal.google_standin.talking import RULE, Files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def running(files: Files) -> Iterator[GoogleStandin]:
    with GoogleStandin(StandinConfig.from_json(files.document())) as standin:
        yield standin


@pytest.fixture
def standin(running: GoogleStandin) -> GoogleStandin:
    """The shared stand-in, as new."""
    running.set_rule(RelayRule.from_json(RULE))
    running.reset()
    return running


@pytest.fixture
def control(standin: GoogleStandin) -> GoogleStandinClient:
    return GoogleStandinClient(standin.control_url)
