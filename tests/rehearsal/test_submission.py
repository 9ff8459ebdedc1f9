"""Submission with the certificate that Caddy gets for the relay's name, seen by a client elsewhere."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstack.settings.initialise import rehearsal_config
from rehearsal.rehearse import Rehearsal
from rehearsal.surroundings import ROOTS
from tests.rehearsal.test_whole_stack import without_cli
from tests.relay_only import relay_only

pytestmark = pytest.mark.hosts

USER, PASSWORD = "printer2", "not-a-secret-anywhere"
IDLE_SECONDS = 2
PATIENCE_SECONDS = 60
# Arguments: address, port, name, user, password, sender. Says the certificate's number, or what went wrong.
CLIENT = f"""
import json, smtplib, ssl, sys
address, port, name, user, password, sender = sys.argv[1:]
context = ssl.create_default_context(cafile={ROOTS!r})
class Named(smtplib.SMTP_SSL):
    def _get_socket(self, host, port, timeout):
        return context.wrap_socket(smtplib.SMTP._get_socket(self, host, port, timeout), server_hostname=name)
try:
    if port == "465":
        smtp = Named(address, 465, timeout=30)
    else:
        smtp = smtplib.SMTP(address, int(port), timeout=30)
        smtp._host = name
        smtp.starttls(context=context)
    smtp.login(user, password)
    smtp.sendmail(sender, ["someone@recipient.test"], "From: <%s>\\r\\nSubject: by login\\r\\n\\r\\nx\\r\\n" % sender)
    print(json.dumps({{"number": smtp.sock.getpeercert()["serialNumber"]}}))
except (OSError, smtplib.SMTPException) as error:
    print(json.dumps({{"error": str(error)}}))
"""


def with_submission() -> dict[str, Any]:
    """Return the local stack's relay and Caddy, and a login for a client that is in no trusted network."""
    raw = relay_only()
    raw["caddy"] = rehearsal_config(Path("Pulumi.local.yaml"))["caddy"]
    raw["relay"] |= {
        "submission": {"listen_addresses": ["0.0.0.0"], "users": [{"name": USER, "password": PASSWORD}]},
        # A process of smtpd reads the certificate when it starts, and ends when it had nothing to do for so long.
        "extra_parameters": {"max_idle": f"{IDLE_SECONDS}s"},
    }
    return raw


@pytest.fixture(scope="module")
def stack() -> Iterator[Rehearsal]:
    with pytest.MonkeyPatch.context() as patch, Rehearsal("submission", with_submission(), lambda _line: None) as made:
        without_cli(patch)
        made.bring_up()
        yield made


def ask(stack: Rehearsal, port: int, password: str = PASSWORD) -> dict[str, str]:
    """Return what the client in the neighbourhood was told: the number of the certificate, or the error."""
    app = stack.ground.services["app"]
    arguments = [stack.hosts["mail1"].address, str(port), "relay.mailstack.test", USER, password, "a@mailstack.test"]
    found: dict[str, str] = json.loads(stack.ground.exec(app, ["python3", "-c", CLIENT, *arguments]).stdout)
    return found


@pytest.mark.parametrize("port", [587, 465])
def test_a_client_elsewhere_logs_in_below_the_certificate_that_caddy_got(stack: Rehearsal, port: int) -> None:
    assert ask(stack, port).get("number"), ask(stack, port)
    assert "(535, b'5.7.8" in ask(stack, port, "wrong-password-here")["error"]


def test_a_renewed_certificate_is_shown_without_anybodys_doing(stack: Rehearsal) -> None:
    before = ask(stack, 465)["number"]
    submission = stack.plan.relay.definition.submission
    assert submission is not None
    folder = str(Path(submission.certificate_file).parent)
    stack.ground.exec(stack.hosts["mail1"], ["rm", "-r", folder])
    stack.ground.exec(stack.hosts["mail1"], ["systemctl", "restart", "caddy"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := ask(stack, 465)).get("number") in {before, None}:
        assert time.monotonic() < deadline, now
        time.sleep(IDLE_SECONDS + 1)
