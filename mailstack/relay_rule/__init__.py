"""The rule in Google Workspace's "SMTP relay service": what it says, how to enter it, what refusals mean.

No public API reads or writes this rule: the Cloud Identity Policy API lists Gmail settings, this one is not
among them. So the program renders the clicks with the values to paste, and a probe on the sending host finds
out whether they were made.
"""

from mailstack.relay_rule.console import ALLOWED_SENDERS_LABELS, console_steps
from mailstack.relay_rule.replies import REPLIES, Explanation, normalised, probe_replies, translate
from mailstack.relay_rule.rule import (
    BROADEST_IPV4_PREFIX,
    BROADEST_IPV6_PREFIX,
    PROPAGATION_HOURS,
    AllowedSenders,
    Problem,
    RelayRule,
    rule_problems,
)

__all__ = [
    "ALLOWED_SENDERS_LABELS",
    "BROADEST_IPV4_PREFIX",
    "BROADEST_IPV6_PREFIX",
    "PROPAGATION_HOURS",
    "REPLIES",
    "AllowedSenders",
    "Explanation",
    "Problem",
    "RelayRule",
    "console_steps",
    "normalised",
    "probe_replies",
    "rule_problems",
    "translate",
]
