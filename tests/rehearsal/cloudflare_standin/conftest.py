"""One stand-in for each file of tests, emptied for each test."""

from collections.abc import Iterator

import pytest

from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from tests.rehearsal.cloudflare_standin.asking import TOKEN, ZONE, ZONE_ID, Api


@pytest.fixture(scope="module")
def running() -> Iterator[CloudflareStandin]:
    config = CloudflareStandinConfig(
        token=TOKEN, zones=(ZoneConfig(name=ZONE, id=ZONE_ID), ZoneConfig(name="example.net"))
    )
    with CloudflareStandin(config) as standin:
        yield standin


@pytest.fixture
def standin(running: CloudflareStandin) -> CloudflareStandin:
    running.store.reset()
    return running


@pytest.fixture
def api(standin: CloudflareStandin) -> Api:
    return Api(standin.api_url)
