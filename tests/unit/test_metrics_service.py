"""Who serves the metrics: the log that is followed, the queue that is asked, the certificate, and the HTTP server."""

import contextlib
import datetime as dt
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from mailstack.postfix.metrics import RelayMetrics
from mailstack.postfix.metrics_http import MOST_CONNECTIONS, MetricsServer, Scrape
from mailstack.postfix.queue_listing import QueueWatch, queue_state, read_queue
from mailstack.postfix.served_certificate import CertificateWatch, Place, end_of, submission_places
from postfix_relay import monitoring, paths
from postfix_relay.relay_metrics import Follower

# -- the log -----------------------------------------------------------------------------------------------------------


def follow(path: Path) -> tuple[Follower, list[str]]:
    found: list[str] = []
    return Follower(str(path), found.append), found


def test_lines_count_from_now_on_and_once_they_are_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n")
    follower, found = follow(log)
    with log.open("ab") as writer:
        writer.write("first\nsecönd".encode()[:-3])
        writer.flush()
        follower.read()
        assert found == ["first"]
        writer.write("secönd".encode()[-3:] + b" ends\n\xff\n")
        writer.flush()
        follower.read()
    assert found == ["first", "secönd ends", "\ufffd"]


def test_a_renamed_log_is_read_to_its_end_and_the_new_one_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("")
    follower, found = follow(log)
    with log.open("a") as writer:
        writer.write("one\n")
        writer.flush()
        follower.read()
        log.rename(tmp_path / "log.1")
        writer.write("two, late\n")
        writer.flush()
        follower.read()
        assert found == ["one", "two, late"]
        log.write_text("three\n")
        writer.write("between\n")
    (tmp_path / "log.1").unlink()  # as gzip does
    follower.read()
    assert found == ["one", "two, late", "between", "three"]


def test_a_log_cut_short_is_read_from_its_start_and_one_that_comes_later_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    follower, found = follow(log)
    follower.read()
    log.write_text("a long first line\n")
    follower.read()
    os.truncate(log, 0)
    log.write_text("short\n")
    follower.read()
    assert found == ["a long first line", "short"]


# -- the queue ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def showq(path: Path, answers: Sequence[bytes], pause: float = 0.0) -> Iterator[list[int]]:
    """Answer each connection as showq(8) would, in pieces; the list has one entry for each that was asked."""
    asked: list[int] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    asked.append(1)
                    with connection:
                        for answer in answers:
                            connection.sendall(answer)
                            time.sleep(pause)

        threading.Thread(target=serve, daemon=True).start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)


def attributes(*pairs: tuple[str, str]) -> bytes:
    return b"".join(f"{name}\0{value}\0".encode() for name, value in pairs) + b"\0"


def message(queue: str, arrival: float, size: int = 500) -> bytes:
    return attributes(
        ("queue_name", queue), ("queue_id", "4jW"), ("time", str(int(arrival))), ("size", str(size)),
        ("sender", "queue_name"), ("recipient", "a@b.test"), ("reason", "x"), ("recipient", "size"), ("reason", ""),
    )  # fmt: skip


# Postfix 3.6 and later name the protocol first.
ANNOUNCEMENT = attributes(("protocol", "showq"))


@pytest.mark.parametrize("head", [b"", ANNOUNCEMENT], ids=["3.5", "3.6"])
def test_the_queue_is_read_whatever_pieces_it_comes_in(head: bytes, tmp_path: Path) -> None:
    now = time.time()
    whole = head + message("deferred", now - 100, 700) + message("active", now - 5) + message("unheard-of", now)
    for size in (1, 7, len(whole)):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        with showq(tmp_path / f"q{size}", pieces):
            state = queue_state(str(tmp_path / f"q{size}"))
        assert (state.count("deferred"), state.count("active"), state.count("hold")) == (1, 1, 0)
        assert 99 <= state.oldest("deferred") <= 110
        assert state.sizes["deferred"] == [700.0]


def test_a_message_that_is_not_whole_does_not_grow_old_in_the_queue(tmp_path: Path) -> None:
    broken_off = attributes(
        ("queue_name", "incoming"), ("queue_id", "4jX"), ("time", "1"), ("size", "344"), ("sender", "a@b.test")
    )
    with showq(tmp_path / "q", [broken_off + message("incoming", time.time() - 3)]):
        state = queue_state(str(tmp_path / "q"))
    assert state.count("incoming") == 1
    assert state.oldest("incoming") < 60


@pytest.mark.slow
def test_a_slow_queue_is_given_up_and_the_relay_still_counts_as_running(tmp_path: Path) -> None:
    with showq(tmp_path / "q", [message("active", 0)] * 50, pause=0.1):
        with pytest.raises(OSError, match=r"in time|timed out"):
            list(read_queue(str(tmp_path / "q"), timeout=0.3))
        watch = QueueWatch(str(tmp_path / "q"), timeout=0.3)
        assert watch.look() == (True, None)


def test_many_askers_cost_the_queue_one_reading_and_nobody_there_is_down(tmp_path: Path) -> None:
    watch = QueueWatch(str(tmp_path / "q"))
    with showq(tmp_path / "q", [message("hold", time.time())]) as asked:
        for _ in range(10):
            up, state = watch.look()
            assert up
            assert state is not None
            assert state.count("hold") == 1
        assert len(asked) == 1
    assert QueueWatch(str(tmp_path / "q")).look() == (False, None)
    assert QueueWatch(str(tmp_path / "none")).look() == (False, None)


# -- the certificate ---------------------------------------------------------------------------------------------------


def test_the_certificate_is_the_one_that_is_served_and_asked_for_once_an_hour() -> None:
    ends = dt.datetime(2051, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
    for wanted in (ends, ends.replace(year=2049)):  # GeneralizedTime from 2050 on, UTCTime before
        pair = trustme.CA().issue_cert("relay.example.com", not_after=wanted)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair.configure_cert(context)
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve(listener: socket.socket = listener, context: ssl.SSLContext = context) -> None:
                connection, _ = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(1)

            threading.Thread(target=serve, daemon=True).start()
            port = listener.getsockname()[1]
            watch = CertificateWatch([Place("127.0.0.1", port, wrapped=True)])
            assert watch.look() == {port: wanted.timestamp()}
        assert watch.look() == {port: wanted.timestamp()}, "nobody listens any more, and nobody was asked"
        assert CertificateWatch(watch.places).look() == {}


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x03\x30\x01\x00", b"no certificate", b"\x30\x84\xff\xff\xff\xff"]
)
def test_what_is_no_certificate_is_told_from_one(data: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        end_of(data)


def test_each_port_of_submission_is_a_place() -> None:
    told = {"listen_addresses": ["0.0.0.0", "10.0.0.1"], "starttls_ports": [587], "tls_ports": [465]}
    assert list(submission_places({"submission": told})) == [
        Place("127.0.0.1", 587, wrapped=False), Place("127.0.0.1", 465, wrapped=True),
    ]  # fmt: skip
    assert list(submission_places({})) == []


# -- the server --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[int]:
    server = MetricsServer(("127.0.0.1", 0), lambda: "metric 1\n", **options)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def ask(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("Server", "")


def test_two_paths_are_there_to_be_read_and_nothing_else() -> None:
    trouble: list[str | None] = [None]
    with serving(trouble=lambda: trouble[0], version="abc") as port:
        assert ask(port) == (200, "metric 1\n", "mailstack-relay/abc")
        assert ask(port, "/metrics?x=y")[0] == 200
        assert ask(port, method="HEAD")[:2] == (200, "")
        assert ask(port, "/healthz")[:2] == (200, "healthy\n")
        trouble[0] = "Postfix does not run"
        assert ask(port, "/healthz")[:2] == (503, "Postfix does not run\n")
        for path in ("/", "/metrics/x", "/healthz/", "/%6detrics"):
            assert ask(port, path)[0] == 404, path
        assert ask(port, method="POST")[0] == 501
    with serving() as port:
        assert ask(port, "/healthz")[0] == 404, "where nobody can say"


def test_who_is_not_named_is_turned_away_and_the_host_itself_is_not() -> None:
    for networks in ([], ["10.0.0.0/8", "2001:db8::/32"]):
        with serving(networks=networks) as port:
            assert ask(port)[0] == 200
    server = MetricsServer(("127.0.0.1", 0), str, networks=["10.0.0.0/8", "2001:db8::/32"])
    may = {text: server._may_ask(text) for text in ("10.1.1.1", "11.0.0.1", "2001:db8::1", "2001:db9::1")}
    assert may == {"10.1.1.1": True, "11.0.0.1": False, "2001:db8::1": True, "2001:db9::1": False}
    assert server._may_ask("::ffff:10.1.1.1"), "IPv4 on a socket for both"
    assert not server._may_ask("::ffff:11.0.0.1")
    server.server_close()


def test_more_connections_than_there_are_rooms_are_closed_and_rooms_become_free() -> None:
    with serving() as port:
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(MOST_CONNECTIONS)]
        deadline = time.monotonic() + 5
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):  # noqa: PT012 - until all are taken
            while time.monotonic() < deadline:
                ask(port)
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(http.client.RemoteDisconnected, ConnectionResetError):
                assert ask(port)[0] == 200
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.slow
def test_a_client_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstack.postfix.metrics_http.CONNECTION_SECONDS", 0.5)
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 8:
                connection.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() - began < 5


def test_a_scrape_reads_the_log_first_and_tells_of_a_dead_relay(tmp_path: Path) -> None:
    read: list[int] = []
    scrape = Scrape(RelayMetrics(), socket_path=str(tmp_path / "none"), before=lambda: read.append(1))
    text = scrape.text()
    assert read == [1]
    assert 'postfix_up{path="unix:///var/spool/postfix/public/showq"} 0' in text
    assert "showq_queue_depth" not in text


# -- the role's pure part ----------------------------------------------------------------------------------------------

TOLD = {"metrics": {"listen": ["127.0.0.1", 9154], "networks": []}, "maps": {}}


def found(**changes: Any) -> dict[str, Any]:
    facts = {"installed": True, "differences": [], "active": True, "enabled": True, "runs": "v1", "version": "v1"}
    return {"metrics": {**facts, **changes}}


@pytest.mark.parametrize(
    ("changes", "whats"),
    [
        ({}, []),
        ({"differences": ["x is missing"]}, ["x is missing"]),
        ({"enabled": False}, [f"{paths.METRICS_UNIT} does not start at boot"]),
        ({"active": False, "runs": "no answer"}, [f"{paths.METRICS_UNIT} is not running"]),
        ({"runs": "v0"}, ["metrics at 127.0.0.1 port 9154: v0, not version v1"]),
        ({"runs": "no answer: x"}, ["metrics at 127.0.0.1 port 9154: no answer: x, not version v1"]),
    ],
)
def test_each_deviation_of_the_service_is_one_step_of_metrics(changes: dict[str, Any], whats: list[str]) -> None:
    steps = monitoring.steps(found(**changes), TOLD)
    assert [(step["kind"], step["what"]) for step in steps] == [("metrics", what) for what in whats]


def test_what_is_not_wanted_is_taken_away_once() -> None:
    assert monitoring.steps({"metrics": {"installed": False}}, {}) == []
    assert [step["what"] for step in monitoring.steps(found(), {})] == [f"{paths.METRICS_UNIT} is no longer needed"]


def test_the_files_of_the_service_change_with_what_it_is_told_and_hold_all_it_imports() -> None:
    files = {file.path: file.content for file in monitoring.files(TOLD, "/usr/bin/python3", "/var/log/x/postfix.log")}
    other = monitoring.files({**TOLD, "metrics": {"listen": ["::1", 1], "networks": []}}, "/usr/bin/python3", "/x/y")
    version, changed = (json.loads(text)["version"] for text in (files[paths.METRICS_CONFIG], other[-1].content))
    assert version != changed
    unit = files[f"{paths.SYSTEM_UNITS}/{paths.METRICS_UNIT}"]
    assert "BindReadOnlyPaths=/var/log/x /var/spool/postfix/public" in unit
    assert "DynamicUser=yes" in unit
    every = {**files, **{file.path: file.content for file in monitoring.tools("/usr/bin/python3")}}
    modules = {path[len(paths.PROGRAMS) + 1 : -3].replace("/", ".") for path in every if path.endswith(".py")}
    wanted = {
        line.split()[1] for text in every.values() for line in text.splitlines() if line.startswith("from mailstack")
    }
    assert wanted <= modules
    assert monitoring.files({}, "/usr/bin/python3", "/x") == []
