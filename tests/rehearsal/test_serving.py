"""What the stand-ins have in common: their HTTP server, and waiting that ends."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from rehearsal.serving import Answer, HttpServer, Request
from rehearsal.waiting import wait_for


def seen(request: Request) -> Answer:
    return Answer(content={"method": request.method, "path": request.path, "query": dict(request.query)})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_each_method_reaches_the_one_function_that_answers(method: str) -> None:
    with HttpServer(seen, "127.0.0.1", 0, name="test") as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
        connection.request(method, "/a/b?since=1&since=2")
        assert json.load(connection.getresponse()) == {"method": method, "path": "/a/b", "query": {"since": "1"}}
        connection.close()


def test_too_large_a_body_is_refused_unread_and_the_connection_ends() -> None:
    with HttpServer(seen, "127.0.0.1", 0, name="test") as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "1048577")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)) == (413, {"error": "body: more than 1 MiB"})
        assert connection.sock is None or connection.sock.recv(1) == b""
        connection.close()


def test_a_stopped_server_has_no_address_and_can_be_stopped_again() -> None:
    with HttpServer(seen, "127.0.0.1", 0, name="test") as server:
        assert server.url.startswith("http://127.0.0.1:")
    server.stop()
    with pytest.raises(RuntimeError, match="test is not started"):
        _ = server.url


def test_waiting_ends_with_the_first_answer_or_with_none() -> None:
    answers = iter([None, 0, "found", "later"])
    assert wait_for(lambda: next(answers), 5, pause=0) == "found"
    assert wait_for(lambda: None, 0, pause=0) is None
    assert wait_for(lambda: "at once", 0) == "at once"
