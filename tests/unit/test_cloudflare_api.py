"""What Cloudflare's API is asked with: the token, through the proxy of the surroundings, and once for each question."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstack.reach.cloudflare import CloudflareApi, CloudflareError
from rehearsal.serving import Answer, HttpServer, Request

TOKEN = "t" * 40
ZONES = {"result": [{"name": "example.com", "id": "1" * 32}], "result_info": {"total_pages": 1}}


class Api:
    """An API that knows one zone, and every request it got."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.server = HttpServer(self._answer, "127.0.0.1", 0, name="api")

    def _answer(self, request: Request) -> Answer:
        self.seen.append(request)
        if request.path.endswith("/moved/zones"):
            place = request.path.replace("/moved", "")
            return Answer(content={}, status=302, headers={"Location": f"{self.server.url}{place}"})
        return Answer(content=ZONES)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    found = Api()
    with found.server:
        yield found


def test_the_token_is_sent_with_every_question_whatever_netrc_says(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    asked = CloudflareApi(api.server.url, TOKEN)
    assert asked.zone_ids(["example.com"]) == {"example.com": "1" * 32}
    assert asked.zone_ids(["example.com", "example.org"]) == {"example.com": "1" * 32}
    asked.records("1" * 32)
    assert [request.authorization for request in api.seen] == [f"Bearer {TOKEN}"] * 3
    assert [(request.path, dict(request.query)) for request in api.seen] == [
        ("/zones", {"name": "example.com"}),
        ("/zones", {"page": "1", "per_page": "50"}),
        (f"/zones/{'1' * 32}/dns_records", {"page": "1", "per_page": "5000"}),
    ]


def test_the_proxy_of_the_surroundings_is_used_for_every_question(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", api.server.url)
    asked = CloudflareApi("http://api.example.invalid/v4", TOKEN)
    for names in (["example.com"], ["example.com", "example.org"]):
        assert asked.zone_ids(names) == {"example.com": "1" * 32}
    assert [request.path for request in api.seen] == ["/v4/zones"] * 2, "asked of the proxy: the name leads nowhere"


def test_an_answer_from_elsewhere_is_followed(api: Api) -> None:
    assert CloudflareApi(f"{api.server.url}/moved", TOKEN).zone_ids(["example.com"]) == {"example.com": "1" * 32}


def test_nobody_there_is_said_in_words(api: Api) -> None:
    url = api.server.url
    api.server.stop()
    with pytest.raises(CloudflareError, match="Cloudflare did not answer"):
        CloudflareApi(url, TOKEN).zone_ids(["example.com"])
