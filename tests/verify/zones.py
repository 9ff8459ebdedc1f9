"""All zones that the checks are held to: good ones, and broken ones with everything that must be found in each."""

from tests.verify import zones_auth, zones_dns, zones_mail
from tests.verify.case import Filled

__all__ = ["CASES", "filled"]

CASES = (*zones_dns.CASES, *zones_auth.CASES, *zones_mail.CASES)


def filled(first: str, second: str) -> list[Filled]:
    """Return every case with a number of its own, for name servers at two addresses."""
    return [case.filled(number, first, second) for number, case in enumerate(CASES, 1)]
