"""What Postal's databases tell an operator: what waits and is held, who may log in, which keys there are.

Tables and columns are Postal 3.3's (db/schema.rb, lib/postal/message_db/migrations). A role carries this module, so it
keeps to Python 3.6 and the standard library. It only ever reads, and no password or key is in what it returns.
"""

import re
from typing import Any, Callable, Dict, List, Sequence

__all__ = ["Query", "credentials", "database_bytes", "queue", "users"]

# Questions to the rows of each; a value as text, NULL as the word. All at once, since one login costs more than all of
# them: a container or a pod is started or entered for it.
Query = Callable[[Sequence[str]], List[List[List[str]]]]
NAME = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
MOST_REASONS = 50

SERVERS = """
SELECT s.id, CONCAT(o.permalink, '/', s.permalink), s.mode, s.suspended_at IS NOT NULL, COUNT(q.id),
  COALESCE(SUM(q.locked_by IS NOT NULL), 0), COALESCE(TIMESTAMPDIFF(SECOND, MIN(q.created_at), UTC_TIMESTAMP()), 0),
  COALESCE(MAX(q.attempts), 0)
FROM `{main}`.servers s JOIN `{main}`.organizations o ON o.id = s.organization_id
LEFT JOIN `{main}`.queued_messages q ON q.server_id = s.id
WHERE s.deleted_at IS NULL GROUP BY s.id, o.permalink, s.permalink, s.mode, s.suspended_at ORDER BY 2;
"""
HELD = "SELECT COUNT(*) FROM `{messages}`.messages WHERE status = 'Held' AND held = 1;\n"
# The last word on each message: its newest delivery.
MESSAGES = """
SELECT m.id, m.held = 1, m.mail_from, m.rcpt_to,
  COALESCE(TIMESTAMPDIFF(SECOND, FROM_UNIXTIME(m.timestamp), NOW()), 0), COALESCE(d.status, ''),
  COALESCE(d.details, ''), COALESCE(d.output, '')
FROM `{messages}`.messages m
LEFT JOIN `{messages}`.deliveries d ON d.id = (
  SELECT MAX(last.id) FROM `{messages}`.deliveries last WHERE last.message_id = m.id)
WHERE (m.status = 'Held' AND m.held = 1)
  OR m.id IN (SELECT message_id FROM `{main}`.queued_messages WHERE server_id = {server})
ORDER BY m.id LIMIT {limit};
"""
USERS = """
SELECT email_address, CONCAT(first_name, ' ', last_name), admin, created_at FROM `{main}`.users ORDER BY 1;
"""
CREDENTIALS = """
SELECT CONCAT(o.permalink, '/', s.permalink), c.name, c.type, c.hold, COALESCE(c.last_used_at, '')
FROM `{main}`.credentials c JOIN `{main}`.servers s ON s.id = c.server_id
JOIN `{main}`.organizations o ON o.id = s.organization_id WHERE s.deleted_at IS NULL ORDER BY 1, 3, 2;
"""
BYTES = """
SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables
WHERE table_schema = '{main}' OR table_schema LIKE '{prefix}-server-%';
"""


def queue(query: Query, main: str, prefix: str, limit: int) -> List[Dict[str, Any]]:
    """Return each mail server: what waits, what is held, why, and up to ``limit`` of the messages themselves."""
    _checked(main, prefix)
    [servers] = query([SERVERS.format(main=main)])
    questions = []
    for row in servers:
        messages = f"{prefix}-server-{int(row[0])}"
        questions.append(HELD.format(messages=messages))
        questions.append(MESSAGES.format(messages=messages, main=main, server=int(row[0]), limit=int(limit)))
    answers = query(questions) if questions else []
    found = []
    for number, row in enumerate(servers):
        _, name, mode, suspended, waiting, sending, oldest, attempts = row
        held, listed = answers[2 * number : 2 * number + 2]
        told = [_message(each) for each in listed]
        found.append(
            {
                "server": name,
                "mode": mode,
                "suspended": _yes(suspended),
                "waiting": int(waiting),
                "sending": int(float(sending)),
                "held": int(held[0][0]),
                "oldest_seconds": max(0, int(oldest)) if int(waiting) else 0,
                "attempts": int(attempts),
                "reasons": _reasons(told),
                "messages": told,
            }
        )
    return found


def _message(row: List[str]) -> Dict[str, Any]:
    identity, held, sender, recipient, age, status, details, output = row
    # What Postal says of it, then what the other server said.
    words = f"{details} {output}".replace("\\n", " ").replace("\\t", " ")
    return {
        "id": int(identity),
        "held": _yes(held),
        "from": sender,
        "to": recipient,
        "age_seconds": max(0, int(float(age))),
        "status": status or "Pending",
        "reason": " ".join(words.split()),
    }


def _reasons(messages: List[Dict[str, Any]]) -> Dict[str, int]:
    counts: Dict[str, int] = {}
    for message in messages:
        reason = message["reason"] or "not tried yet"
        counts[reason] = counts.get(reason, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ordered[:MOST_REASONS])


def users(query: Query, main: str) -> List[Dict[str, Any]]:
    """Return who may log in to the web UI; ``created`` is in UTC."""
    _checked(main)
    return [
        {"email": email, "name": name.strip(), "admin": _yes(admin), "created": created}
        for email, name, admin, created in query([USERS.format(main=main)])[0]
    ]


def credentials(query: Query, main: str) -> List[Dict[str, Any]]:
    """Return the keys of all mail servers by name, never a key; ``last_used`` in UTC, None for never."""
    _checked(main)
    return [
        {"server": server, "name": name, "type": kind, "hold": _yes(hold), "last_used": last or None}
        for server, name, kind, hold, last in query([CREDENTIALS.format(main=main)])[0]
    ]


def database_bytes(query: Query, main: str, prefix: str) -> int:
    """Return how much room all databases take."""
    _checked(main, prefix)
    return int(float(query([BYTES.format(main=main, prefix=prefix)])[0][0][0]))


def _yes(text: str) -> bool:
    return text not in ("0", "NULL", "", "false")


def _checked(*names: str) -> None:
    """Names stand in SQL as they are: they are checked where they are declared, and here once more."""
    for name in names:
        if not NAME.match(name):
            raise ValueError(f"{name!r} is no name of a database of Postal's")
