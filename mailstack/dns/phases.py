"""Which records of a change may go live at once, and which wait until the hosts behind them are ready."""

from collections.abc import Container

from mailstack.dns.records import Record, Text

__all__ = ["goes_last"]

_LAST_LABELS = ("_dmarc.", "_mta-sts.")  # what receivers and senders are asked to enforce


def goes_last(record: Record, sending_domains: Container[str]) -> bool:
    """Tell whether a record is to change only once hosts and relay are ready.

    ``sending_domains`` are the company's own domains, normalised (a set, for speed); names that the stack made for
    itself, such as Postal's return path, are not among them. Their MX decides where mail goes that flows today,
    and DMARC and MTA-STS have others refuse mail: published too early, each breaks a live domain. Everything else,
    addresses, SPF, DKIM and CNAMEs included, only lets more mail through and is what readiness is proved with.
    """
    if record.type == "MX":
        return record.name in sending_domains
    if not isinstance(record.data, Text):
        return False
    return any(
        record.name.startswith(label) and record.name.removeprefix(label) in sending_domains for label in _LAST_LABELS
    )
