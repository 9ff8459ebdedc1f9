"""The clicks that enter a rule in the Admin console [2956491] support.google.com/a/answer/2956491."""

from collections.abc import Sequence

from mailstack.relay_rule.ranges import read_range
from mailstack.relay_rule.rule import PROPAGATION_HOURS, AllowedSenders, RelayRule

__all__ = ["ALLOWED_SENDERS_LABELS", "console_steps"]

# The labels of the Admin console, letter for letter [2956491].
ALLOWED_SENDERS_LABELS: dict[AllowedSenders, str] = {
    "registered-users": "Only registered Apps users in my domains",
    "domain-addresses": "Only addresses in my domains",
    "any-address": "Any addresses (not recommended)",
}


def console_steps(rule: RelayRule) -> str:
    """Return the clicks that enter ``rule`` in the Admin console, as Markdown; equal rules, equal text."""
    senders = ALLOWED_SENDERS_LABELS[rule.allowed_senders]
    lines = [
        f"# Google Workspace: SMTP relay rule “{rule.name}”",
        "",
        "Google offers no way to set this by program. Enter it once by hand; the probe then checks it.",
        "",
        (
            "1. Sign in at <https://admin.google.com> with an administrator account that has the Gmail "
            "Settings privilege."
        ),
        (
            "2. Open **Menu > Apps > Google Workspace > Gmail > Routing**. Stay at the top-level "
            "organization: the setting exists there only."
        ),
        (
            "3. Scroll to **SMTP relay service**. Click **Configure**, or **Add another** beside an existing "
            f"rule. If a rule named `{rule.name}` is there already, click **Edit** and make it equal to "
            "what follows."
        ),
        "4. Name (the field at the top):",
        "",
        *_paste([rule.name]),
        f"5. **Allowed senders**: choose **{senders}**.",
        *(
            ["   This lets anyone who reaches the relay send as any domain. Go on only if that is meant."]
            if rule.allowed_senders == "any-address"
            else [f"   Your domains in use here: {', '.join(f'`{name}`' for name in sorted(rule.domains))}."]
        ),
        "6. **Authentication**:",
    ]
    if rule.ip_ranges:
        lines += [
            (
                "   - Tick **Only accept mail from the specified IP addresses**. For each line below click "
                f"**Add**, paste the address, write `{rule.name}` as description, tick **Enabled**, and "
                "click **Save**. Remove addresses that are not in this list:"
            ),
            "",
            *_paste([_as_entered(text) for text in rule.ip_ranges], indent=5),
        ]
    else:
        lines.append("   - Leave **Only accept mail from the specified IP addresses** without a tick.")
    lines.append(
        "   - Tick **Require SMTP Authentication**. The relay signs in with a full mailbox address and an app password."
        if rule.require_smtp_auth
        else "   - Leave **Require SMTP Authentication** without a tick."
    )
    lines += [
        "7. **Encryption**: "
        + (
            "tick **Require TLS encryption**."
            if rule.require_tls
            else "leave **Require TLS encryption** without a tick."
        ),
        (
            "8. Click **Add setting** (or **Save** when editing), then **Save** at the bottom of the page "
            "if it is shown."
        ),
        "",
        (
            f"A change usually works within minutes; Google says it can take up to {PROPAGATION_HOURS} "
            "hours. Then run the stack again: the probe connects from the sending host, goes as far as "
            "RCPT TO and sends no message."
        ),
        "",
    ]
    return "\n".join(lines)


def _paste(values: Sequence[str], indent: int = 3) -> list[str]:
    """A fenced block has a copy button in most viewers and keeps the value free of formatting."""
    space = " " * indent
    return [f"{space}```text", *(f"{space}{value}" for value in values), f"{space}```", ""]


def _as_entered(text: str) -> str:
    """A range of one address is entered as an address; anything else as given, spelt the canonical way."""
    network = read_range(text)
    if isinstance(network, str):
        return text
    return str(network.network_address) if network.num_addresses == 1 else str(network)
