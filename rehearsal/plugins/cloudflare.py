"""Stand-in for pulumi-resource-cloudflare: ``cloudflare:index/dnsRecord:DnsRecord`` over Cloudflare's HTTP API.

Contract of 6.18.0 (Terraform provider 5), read in internal/services/dns_record of
github.com/cloudflare/terraform-provider-cloudflare and internal/requestconfig of its client; point by point, with what
is not kept, in tests/engine/test_cloudflare_plugin.py. The address is ``CLOUDFLARE_BASE_URL`` or the API's own; the
token comes with the provider.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from rehearsal.plugins.differences import differences
from rehearsal.plugins.provider import UNKNOWN, Difference, Log, PluginError, Properties, plain, serve

__all__ = ["CloudflareProvider"]

KIND = "cloudflare:index/dnsRecord:DnsRecord"
API = "https://api.cloudflare.com/client/v4"
SENT = ("name", "type", "content", "data", "ttl", "priority", "proxied", "comment", "tags")
INPUTS = ("zoneId", *SENT)
COMPUTED = ("createdOn", "modifiedOn", "proxiable")
REPLACING = frozenset({"zoneId", "type"})
# Keys of ``data``: the API's to the engine's.
CAMEL_CASE = {"matching_type": "matchingType"}
SNAKE_CASE = {engine: api for api, engine in CAMEL_CASE.items()}
TIMEOUT_SECONDS = 60
NOT_FOUND = 404
RETRIES = 2
RETRIED = frozenset({408, 409, 429, *range(500, 600)})
# A longer wait asked for is not waited for: the client then takes its own, this long before the first retry.
LONGEST_WAIT_SECONDS = 60.0
FIRST_WAIT_SECONDS = 0.5


class CloudflareProvider:
    """Keeps DNS records."""

    name = "cloudflare"
    version = "6.18.0"

    def __init__(self) -> None:
        """The engine configures it before anything else."""
        self._token = ""
        self._url = os.environ.get("CLOUDFLARE_BASE_URL", API).rstrip("/")

    def configure(self, settings: Properties) -> None:
        """Take the token, and an address where the provider has one."""
        self._token = settings.get("apiToken") or os.environ.get("CLOUDFLARE_API_TOKEN", "")
        self._url = (settings.get("baseUrl") or self._url).rstrip("/")

    def check(self, kind: str, inputs: Properties, *, old: Properties, name: str) -> Properties:
        """Set what is not proxied when nothing is said."""
        if kind != KIND:
            raise PluginError(f"the stand-in for the cloudflare plugin does not know {kind}")
        return {"proxied": False, **inputs}

    def diff(self, kind: str, old: Properties, new: Properties) -> Difference:
        """Compare inputs: another zone or type replaces."""
        old = {key: value for key, value in old.items() if key in INPUTS}
        new = {key: value for key, value in new.items() if key in INPUTS}
        changes = dict(differences(old, new))
        return Difference(changes=changes, replaces=tuple(path for path in changes if path in REPLACING))

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        """Add the record."""
        if preview:
            return "", {**inputs, **dict.fromkeys(COMPUTED, UNKNOWN)}
        record = self._call("POST", f"/zones/{plain(inputs)['zoneId']}/dns_records", _body(inputs))
        return record["id"], {**inputs, **_computed(record)}

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        """Write the whole record."""
        if preview:
            return {**inputs, **dict.fromkeys(COMPUTED, UNKNOWN)}
        path = f"/zones/{plain(inputs)['zoneId']}/dns_records/{identity}"
        return {**inputs, **_computed(self._call("PUT", path, _body(inputs)))}

    def read(
        self, kind: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Return the record as the API has it. An import names it ``<zone_id>/<dns_record_id>``."""
        zone, separator, record_id = identity.partition("/")
        if not separator:
            if not outputs:
                form = "<zone_id>/<dns_record_id>"
                raise PluginError(f'invalid ID: expected urlencoded segments "{form}", got "{identity}"')
            zone, record_id = str(plain(outputs)["zoneId"]), identity
        record = self._call("GET", f"/zones/{zone}/dns_records/{record_id}", missing_is_none=True)
        if record is None:
            return None
        found = {"zoneId": zone, **{key: record[key] for key in SENT if record.get(key) not in (None, [])}}
        if "data" in found:
            found["data"] = {CAMEL_CASE.get(key, key): value for key, value in record["data"].items()}
            del found["content"]  # computed of it
        return record["id"], found, {**found, **_computed(record)}

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Remove the record; one that is gone is an error."""
        self._call("DELETE", f"/zones/{plain(outputs)['zoneId']}/dns_records/{identity}")

    def _call(self, method: str, path: str, body: Properties | None = None, *, missing_is_none: bool = False) -> Any:
        request = urllib.request.Request(
            f"{self._url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        called = f'failed to make http request: {method} "{self._url}{path}":'
        for attempt in range(RETRIES + 1):
            asked: str | None = None
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                    return json.load(response)["result"]
            except urllib.error.HTTPError as error:
                if missing_is_none and error.code == NOT_FOUND:
                    return None
                failure = PluginError(f"{called} {error.code} {error.reason} {error.read().decode()}")
                asked = error.headers.get("Retry-After")
                if error.code not in RETRIED:
                    break
            except OSError as error:
                failure = PluginError(f"{called} {error}")
            if attempt < RETRIES:
                time.sleep(_wait(asked, attempt))
        raise failure


def _wait(asked: str | None, attempt: int) -> float:
    """Return the seconds before the next try; ``asked`` is the API's Retry-After."""
    if asked is not None and asked.isdecimal() and float(asked) < LONGEST_WAIT_SECONDS:
        return float(asked)
    return float(FIRST_WAIT_SECONDS * 2**attempt)


def _body(inputs: Properties) -> Properties:
    body = {key: value for key, value in plain(inputs).items() if key in SENT}
    if "data" in body:
        body["data"] = {SNAKE_CASE.get(key, key): value for key, value in body["data"].items()}
    return body


def _computed(record: Properties) -> Properties:
    return {
        "createdOn": record.get("created_on"),
        "modifiedOn": record.get("modified_on"),
        "proxiable": record.get("proxiable"),
    }


if __name__ == "__main__":
    serve(CloudflareProvider())
