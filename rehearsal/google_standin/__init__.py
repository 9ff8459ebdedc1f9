"""Stand-in for smtp-relay.gmail.com: accepts what Google's relay accepts and refuses what it refuses.

This is not Google. It is a small SMTP server for the rehearsal ground and for tests, made from the published
error table (support.google.com/a/answer/3726730), the relay help pages (support.google.com/a/answer/2956491
and 6140680) and public logs of people who met the real one. It uses the Python standard library only, so it
runs in a bare Debian 12 container: ``python3 -m rehearsal.google_standin --config FILE``.

Why not aiosmtpd: it does not offer PIPELINING, which Google does and Postfix uses, and answering any command with
any refusal, dropping a connection at a given stage, and telling resumed handshakes from full ones would mean
overriding most of it.

What is known about Google (documented, or seen in public logs)
    * Ports 587 and 25 speak STARTTLS, 465 implicit TLS; AUTH is offered only inside TLS.
    * Codes and first sentences of the replies in :mod:`.replies`; stages whose ``evidence`` is ``documented`` or
      ``observed``.
    * ``421 4.7.0 Try again later, closing connection. (EHLO)`` is the answer to a generic EHLO name.
    * The customer is found from the source address, the EHLO name with its parent domains, and MAIL FROM.
    * Address unknown and domains unknown: ``550 5.7.0 Mail relay denied``. Only one of the two known:
      ``550 5.7.1 Invalid credentials for relay``.
    * The customer's daily limit is answered at DATA (seen in a packet capture) with a permanent code.
    * 100 recipients in a transaction; per-user limits count the envelope sender, registered users only.
    * Relayed mail carries ``X-Relaying-Domain``.

What is assumed
    * Relay denials come at RCPT TO (the rule key ``refuse_relay_at`` moves them to ``mail`` or ``data``).
    * Google refuses generic EHLO names now and then, as a rate limit; the stand-in always does, and it counts
      IP literals, names without a dot and container ids as generic.
    * A listed address is needed even by an authenticated session when the rule has an address list.
    * The sender's domain must equal an account domain; only the EHLO name is matched by parent domain.
    * The user's daily limit and the ten-minute limit are answered at DATA, like the customer's.
    * Limits are sliding windows. Recipients are counted when the message is accepted.
    * SIZE 26214400 (25 MiB), the code of a too large message, the rest of the replies' texts, and the stages of
      replies whose ``evidence`` is ``assumed``.
    * Not imitated: XOAUTH2, CHUNKING, spam judgement, recipient existence, the delay of a changed rule.
"""

from rehearsal.serving import ConfigError

from .client import ControlError, GoogleStandinClient
from .config import ListenerConfig, RelayRule, StandinConfig, TlsFiles
from .records import CertificateFacts, Counters, FaultStatus, ReceivedMessage, TlsFacts
from .replies import REPLIES, Reply, Stage
from .server import GoogleStandin

__all__ = [
    "REPLIES",
    "CertificateFacts",
    "ConfigError",
    "ControlError",
    "Counters",
    "FaultStatus",
    "GoogleStandin",
    "GoogleStandinClient",
    "ListenerConfig",
    "ReceivedMessage",
    "RelayRule",
    "Reply",
    "Stage",
    "StandinConfig",
    "TlsFacts",
    "TlsFiles",
]
