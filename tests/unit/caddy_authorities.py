"""A company's certificate authority for the tests of role caddy."""

import datetime as dt
from pathlib import Path

import trustme

from caddy.pairs import split

__all__ = ["Authorities"]


class Authorities:
    """A root, an issuing CA below it, and leaves."""

    def __init__(self, folder: Path) -> None:
        self.root = trustme.CA(organization_name="Root")
        self.issuing = self.root.create_child_ca()
        self.ca_file = folder / "root.pem"
        self.ca_file.write_bytes(self.root.cert_pem.bytes())

    def leaf(self, *names: str, start: float = -30, end: float = 300) -> tuple[list[str], str]:
        today = dt.datetime.now(dt.UTC)
        made = self.issuing.issue_cert(
            *(names or ("mx.example.com",)),
            not_before=today + dt.timedelta(days=start),
            not_after=today + dt.timedelta(days=end),
        )
        return split(
            "".join(blob.bytes().decode() for blob in made.cert_chain_pems)
        ), made.private_key_pem.bytes().decode()
