"""How the SMTP server of Postal gets its certificate: the exchange of the pair, and the program that does it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from caddy import smtp_certificate
from caddy.pairs import read_certificate, split
from caddy.smtp_certificate import DeliveryError, deliver, findings
from caddy.smtp_pair import SmtpPair
from caddy.smtp_server import Served
from tests.unit.caddy_authorities import Authorities

pytestmark = pytest.mark.slow

NAME = "mx.example.com"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(tmp_path_factory.mktemp("ca"))


# -- the pair of files ----------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> SmtpPair:
    return SmtpPair(str(tmp_path / "postal" / "config"), os.getuid(), os.getgid())


def test_a_pair_is_put_in_a_directory_that_was_not_there(place: SmtpPair) -> None:
    assert place.fault("cert", "key") is not None
    assert place.put("cert", "key") is None
    assert place.current() == ("cert", "key")
    assert place.fault("cert", "key") is None
    assert oct(Path(place.directory, "smtp.key").stat().st_mode & 0o777) == "0o400"
    # Relative, so that they hold in a container that has the directory elsewhere.
    assert Path(place.directory, "smtp.key").readlink() == Path("smtp-pair/smtp.key")


def test_plain_files_that_were_there_become_a_pair_one_can_go_back_to(place: SmtpPair) -> None:
    Path(place.directory).mkdir(parents=True)
    for name, text in (("smtp.cert", "old cert"), ("smtp.key", "old key")):
        Path(place.directory, name).write_text(text)
    previous = place.put("cert", "key")
    assert previous is not None
    place.switch(previous)
    assert place.current() == ("old cert", "old key")


def test_a_file_with_other_rights_is_mended(place: SmtpPair) -> None:
    place.put("cert", "key")
    Path(place.directory, "smtp.key").resolve().chmod(0o444)
    assert "mode 0400" in str(place.fault("cert", "key"))
    assert place.put("cert", "key") is None
    assert place.fault("cert", "key") is None


class PowerCutError(Exception):
    """Stands for the end of everything."""


SYSTEM_CALLS = ("rename", "replace", "symlink", "unlink", "mkdir", "chmod", "chown", "fsync", "fchmod", "fchown")


@pytest.mark.parametrize("plain", [False, True])
def test_whenever_the_power_fails_certificate_and_key_belong_together(
    place: SmtpPair, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    real = {name: getattr(os, name) for name in SYSTEM_CALLS}
    cut_at, finished = 0, False
    while not finished:
        if plain:
            _start_plain(place)
        else:
            place.put("cert 1", "key 1")
        calls = iter(range(10_000))

        def guarded(name: str, calls: Iterator[int] = calls, limit: int = cut_at) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                if next(calls) == limit:
                    raise PowerCutError
                return real[name](*arguments, **named)

            return call

        with monkeypatch.context() as patch:
            for name in SYSTEM_CALLS:
                patch.setattr(os, name, guarded(name))
            try:
                place.put("cert 2", "key 2")
                finished = True
            except PowerCutError:
                pass
        assert place.current() in {("cert 1", "key 1"), ("cert 2", "key 2")}, cut_at
        # What a cut-off run left does not keep the next one from its work.
        place.put("cert 2", "key 2")
        assert place.current() == ("cert 2", "key 2")
        place.clean()
        assert len(list(Path(place.directory).glob(".smtp-pair-*"))) == 1
        cut_at += 1
    assert cut_at > 10


def _start_plain(place: SmtpPair) -> None:
    Path(place.directory).mkdir(parents=True, exist_ok=True)
    for name in ("smtp.cert", "smtp.key", "smtp-pair"):
        Path(place.directory, name).unlink(missing_ok=True)
    Path(place.directory, "smtp.cert").write_text("cert 1")
    Path(place.directory, "smtp.key").write_text("key 1")


# -- the delivery ---------------------------------------------------------------------------------------------


class Server:
    """Stands for Docker and Postal's SMTP server: reads its pair when it starts."""

    def __init__(self, place: SmtpPair, monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
        self.place = place
        self.restarts = 0
        self.running = True
        self.stubborn: str | None = None
        self.plain = False
        self.down = False
        self.loaded: str | None = None
        monkeypatch.setattr(smtp_certificate, "containers", lambda *_: ["c1"] if self.running else [])
        monkeypatch.setattr(smtp_certificate, "restart", self._restart)
        monkeypatch.setattr(smtp_certificate, "ask", lambda *_: self.ask())
        monkeypatch.setattr(smtp_certificate, "wait_for", lambda *_: self.ask())
        monkeypatch.setattr(smtp_certificate, "REFUSED", str(refused))

    def _restart(self, _identities: list[str]) -> None:
        self.restarts += 1
        self.start()

    def start(self) -> None:
        current = self.place.current()
        self.loaded = None if current is None else read_certificate(split(current[0])[0]).sha256

    def ask(self) -> Served:
        if self.down:
            return Served(trouble="connection refused")
        return Served(plain=True) if self.plain else Served(sha256=self.stubborn or self.loaded)


class Delivery:
    """A source, a place, a server and the program between them."""

    def __init__(self, folder: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> None:
        self.authorities = authorities
        self.folder = folder
        self.place = SmtpPair(str(folder / "config"), os.getuid(), os.getgid())
        self.server = Server(self.place, monkeypatch, folder / "state" / "refused.json")
        self.config = {
            "name": NAME, "directory": self.place.directory, "uid": os.getuid(), "gid": os.getgid(),
            "address": "127.0.0.1", "port": 25,
            "certificate": str(folder / "source.crt"), "key": str(folder / "source.key"),
        }  # fmt: skip
        self.said: list[str] = []

    def issue(self, **dates: float) -> tuple[str, str]:
        chain, key = self.authorities.leaf(**dates)
        (self.folder / "source.crt").write_text("".join(chain))
        (self.folder / "source.key").write_text(key)
        return "".join(chain), key

    def run(self) -> None:
        deliver(self.config, self.said.append, settle=0, serve=0)


@pytest.fixture
def delivery(tmp_path: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    made = Delivery(tmp_path, authorities, monkeypatch)
    made.issue()
    made.run()
    made.server.start()
    made.server.restarts = 0
    return made


def test_a_new_pair_is_served_after_one_restart(delivery: Delivery) -> None:
    pair = delivery.issue()
    assert findings(delivery.config)[0] != []
    delivery.run()
    assert delivery.place.current() == pair
    assert delivery.server.restarts == 1
    assert findings(delivery.config)[0] == []


def test_an_unchanged_pair_restarts_nothing(delivery: Delivery) -> None:
    delivery.run()
    assert delivery.server.restarts == 0


def test_without_a_container_the_pair_is_only_copied(delivery: Delivery) -> None:
    delivery.server.running = False
    pair = delivery.issue()
    delivery.run()
    assert delivery.place.current() == pair
    assert delivery.server.restarts == 0
    assert "no SMTP container" in delivery.said[-1]


def test_a_server_without_starttls_is_left_alone(delivery: Delivery) -> None:
    delivery.server.plain = True
    pair = delivery.issue()
    delivery.run()
    assert delivery.place.current() == pair
    assert delivery.server.restarts == 0


def test_a_restart_that_was_missed_is_made_up_for(delivery: Delivery) -> None:
    pair = delivery.issue()
    delivery.place.put(*pair)  # and then the power failed
    delivery.run()
    assert delivery.server.restarts == 1
    assert findings(delivery.config)[1]["served"] is True


def test_a_server_that_serves_something_else_gets_the_pair_before_back(delivery: Delivery) -> None:
    before = delivery.place.current()
    delivery.server.stubborn = "0" * 64
    delivery.issue()
    with pytest.raises(DeliveryError, match="The pair before is back"):
        delivery.run()
    assert delivery.place.current() == before
    assert delivery.server.restarts == 2
    with pytest.raises(DeliveryError, match="the next try is in 3"):
        delivery.run()
    assert delivery.server.restarts == 2
    delivery.server.stubborn = None
    smtp_certificate.forget_refusal()
    delivery.run()
    assert findings(delivery.config)[0] == []


def test_a_server_that_was_down_before_keeps_the_new_pair(delivery: Delivery) -> None:
    delivery.server.down = True
    pair = delivery.issue()
    with pytest.raises(DeliveryError, match="connection refused"):
        delivery.run()
    assert delivery.place.current() == pair


@pytest.mark.parametrize("fault", ["expired", "key", "missing"])
def test_a_source_that_cannot_be_used_leaves_the_pair_in_force(delivery: Delivery, fault: str) -> None:
    before = delivery.place.current()
    if fault == "expired":
        delivery.issue(end=-1)
    elif fault == "key":
        (delivery.folder / "source.key").write_text(delivery.authorities.leaf()[1])
    else:
        (delivery.folder / "source.crt").unlink()
    with pytest.raises(DeliveryError):
        delivery.run()
    assert delivery.place.current() == before
    assert delivery.server.restarts == 0
