"""Whether a DKIM record is seen: by every server of its zone, and by resolvers, with the very text that is declared."""

from collections.abc import Iterator

from mailstack.verify.asking import Answer, Dns

__all__ = ["not_seen"]


def not_seen(asking: Dns, name: str, text: str) -> tuple[str, ...]:
    """Return who does not have ``text`` as the one TXT record of ``name``: a line for each; empty, all have it.

    A server that does not answer counts as one that does not have it: a receiver may ask just that one.
    """
    answers = (*asking.authoritative(name, "TXT"), *asking.resolved(name, "TXT"))
    return tuple(_without(answers, text))


def _without(answers: tuple[Answer, ...], text: str) -> Iterator[str]:
    for answer in answers:
        if [value.rstrip("; ") for value in answer.values] != [text.rstrip("; ")]:
            yield str(answer)
