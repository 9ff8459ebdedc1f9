"""An application that sends: runs beside the relay, where only Debian's Python is.

Standard input: JSON with addresses (of the relay, tried in turn), port, sender, from, recipient, subjects, threads and
seconds. Every message is tried until it is accepted or the seconds are over, as an application with a queue of its own
does; a 5xx answer is final. Prints a line of JSON for each message: subject, outcome (``accepted``, ``refused`` or
``gave up``), the last reply, and ``unsure``: how often the answer to its content was lost, after which it went again.
"""

import json
import smtplib
import sys
import threading
import time
from typing import Any

PAUSE_SECONDS = 0.2
MESSAGES_A_CONNECTION = 20


class Sender(threading.Thread):
    """One connection after the other; takes subjects from a list that all share."""

    def __init__(self, asked: dict[str, Any], subjects: list[str], number: int) -> None:
        super().__init__()
        self.asked, self.subjects, self.turn = asked, subjects, number
        self.smtp: smtplib.SMTP | None = None
        self.used = 0

    def run(self) -> None:
        while True:
            try:
                subject = self.subjects.pop(0)
            except IndexError:
                self.leave()
                return
            outcome, reply, unsure = self.send(subject)
            line = json.dumps({"subject": subject, "outcome": outcome, "reply": reply, "unsure": unsure})
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def send(self, subject: str) -> tuple[str, str, int]:
        deadline, unsure = time.time() + self.asked["seconds"], 0
        while True:
            self.content_sent = False
            try:
                return "accepted", self.attempt(subject), unsure
            except smtplib.SMTPResponseException as error:
                self.content_sent = False  # a reply came: it is sure
                reply = f"{error.smtp_code} {error.smtp_error!r}"
                if error.smtp_code >= 500:
                    self.leave()
                    return "refused", reply, unsure
            except (OSError, smtplib.SMTPException) as error:
                reply = repr(error)
            unsure += self.content_sent
            self.leave()
            if time.time() > deadline:
                return "gave up", reply, unsure
            time.sleep(PAUSE_SECONDS)

    def attempt(self, subject: str) -> str:
        smtp = self.connected()
        expect(smtp.mail(self.asked["sender"]))
        expect(smtp.rcpt(self.asked["recipient"]))
        expect(smtp.docmd("DATA"), 354)
        self.content_sent = True
        smtp.send(f"From: <{self.asked['from']}>\r\nSubject: {subject}\r\n\r\nbody\r\n.\r\n")
        reply = expect(smtp.getreply())
        self.used += 1
        return reply

    def connected(self) -> smtplib.SMTP:
        if self.used >= MESSAGES_A_CONNECTION:
            self.leave()
        if self.smtp is None:
            addresses = self.asked["addresses"]
            self.turn += 1
            smtp = smtplib.SMTP(timeout=20, local_hostname="app.mailstack.test")
            expect(smtp.connect(addresses[self.turn % len(addresses)], self.asked["port"]), 220)
            expect(smtp.ehlo())
            self.smtp, self.used = smtp, 0
        return self.smtp

    def leave(self) -> None:
        if self.smtp is not None:
            try:
                self.smtp.quit()
            except (OSError, smtplib.SMTPException):
                self.smtp.close()
            self.smtp = None


def expect(answer: tuple[int, bytes], wanted: int = 250) -> str:
    code, words = answer
    if code != wanted:
        raise smtplib.SMTPResponseException(code, words.decode())
    return f"{code} {words.decode()}"


def main() -> None:
    asked = json.loads(sys.stdin.read())
    subjects = list(asked["subjects"])
    senders = [Sender(asked, subjects, number) for number in range(asked["threads"])]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


main()
