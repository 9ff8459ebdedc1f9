"""What PostalHost costs when nothing changes, and how long a message takes from an application to the upstream."""

import json
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mailstack.reach.bundle import command_line, payload
from mailstack.reach.ssh import run_over_ssh
from mailstack.settings.initialise import rehearsal_config
from rehearsal.rehearse import ROOT, Rehearsal

__all__ = ["measure_postal"]

REAPPLY_ROUNDS = 5
RATE_PER_SECOND = 10
MESSAGES = 600
QUIET_SECONDS = 90
# Runs on the neighbour `app`. Standard input: JSON with host, port, user, key, sender, number, rate. One connection a
# message, as most applications have it, started on the clock whatever the one before did. Prints subject to the moment
# it was handed over, in seconds since the epoch.
SEND = """
import json, smtplib, ssl, sys, threading, time
asked = json.loads(sys.stdin.read())
context, sent, failed = ssl.create_default_context(), {}, []

def send(number):
    subject = "bench-%d" % number
    started = time.time()
    try:
        with smtplib.SMTP(asked["host"], asked["port"], local_hostname="app.rehearsal.test", timeout=60) as smtp:
            if asked["starttls"]:
                smtp.starttls(context=context)
            smtp.login(asked["user"], asked["key"])
            text = "From: <%s>\\r\\nTo: <someone@recipient.test>\\r\\nSubject: %s\\r\\n\\r\\n%s\\r\\n" % (
                asked["sender"], subject, "x" * 4000)
            smtp.sendmail(asked["sender"], ["someone@recipient.test"], text)
        sent[subject] = started
    except Exception as error:
        failed.append(repr(error))

threads, begin = [], time.time()
for number in range(asked["number"]):
    time.sleep(max(0.0, begin + number / asked["rate"] - time.time()))
    thread = threading.Thread(target=send, args=(number,))
    thread.start()
    threads.append(thread)
for thread in threads:
    thread.join()
print(json.dumps({"sent": sent, "failed": failed}))
"""


def measure_postal(say: Callable[[str], None]) -> None:
    """Bring the local stack up in process and measure. Raises RuntimeError when a message is lost."""
    raw = rehearsal_config(ROOT / "Pulumi.local.yaml")
    with Rehearsal("bench-postal", raw, lambda _line: None) as rehearsal:
        started = time.monotonic()
        outputs = rehearsal.bring_up()
        say(f"the whole stack on bare hosts: {time.monotonic() - started:.0f} s")
        _reapply(rehearsal, say)
        _latency(rehearsal, outputs, say)


def _reapply(rehearsal: Rehearsal, say: Callable[[str], None]) -> None:
    run = None if rehearsal.plan.postal is None else rehearsal.plan.postal.run
    if run is None:
        raise RuntimeError("the local stack has no postal on a host")
    connection = rehearsal.plan.hosts[run.host].connection
    document = payload(run.role, run.settings, run.secrets)
    seconds = []
    for _ in range(REAPPLY_ROUNDS):
        started = time.monotonic()
        finished = run_over_ssh(connection, command_line("apply"), document)
        seconds.append(time.monotonic() - started)
        if finished.code != 0 or json.loads(finished.stdout.splitlines()[-1])["status"] != "unchanged":
            raise RuntimeError(f"role postal was to find nothing to change:\n{finished.stderr}")
    listed = ", ".join(f"{value:.2f}" for value in seconds)
    say(f"role postal, nothing to change: {statistics.median(seconds):.2f} s (aim 3 s; single runs {listed})")


def _latency(rehearsal: Rehearsal, outputs: dict[str, Any], say: Callable[[str], None]) -> None:
    name, server = next(iter(outputs["mail_servers"].items()))
    question = {
        "host": server["smtp_host"],
        "port": server["smtp_port"],
        "starttls": server["smtp_starttls"],
        "user": name,
        "key": next(iter(server["smtp_keys"].values())),
        "sender": f"app@{server['sender_domains'][0]}",
        "number": MESSAGES,
        "rate": RATE_PER_SECOND,
    }
    app = rehearsal.ground.services["app"]
    done = rehearsal.ground.exec(app, ["python3", "-c", SEND], input=json.dumps(question))
    told = json.loads(done.stdout)
    if told["failed"]:
        raise RuntimeError(f"{len(told['failed'])} messages were not taken, the first: {told['failed'][0]}")
    arrived = _wait(rehearsal, told["sent"])
    missing = set(told["sent"]) - set(arrived)
    if missing:
        raise RuntimeError(f"{len(missing)} of {MESSAGES} messages did not arrive in {QUIET_SECONDS} s")
    waits = sorted(arrived[subject] - handed for subject, handed in told["sent"].items())
    say(
        f"application to upstream, {MESSAGES} messages, {RATE_PER_SECOND}/s: median {statistics.median(waits):.2f} s, "
        f"p99 {waits[int(len(waits) * 0.99) - 1]:.2f} s, longest {waits[-1]:.2f} s"
    )


def _wait(rehearsal: Rehearsal, sent: dict[str, float]) -> dict[str, float]:
    """Return subject to the moment the upstream took it, once all are there or the time is over."""
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        arrived = {
            str(message.header("Subject")): datetime.fromisoformat(message.received_at).timestamp()
            for message in rehearsal.google.messages()
        }
        if set(sent) <= set(arrived) or time.monotonic() > deadline:
            return arrived
        time.sleep(1)
