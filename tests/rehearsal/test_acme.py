"""The ACME server of a rehearsal: a web server gets, and renews, certificates from it as from a public one."""

import datetime as dt
import time
from collections.abc import Iterator

import pytest
from cryptography import x509

from rehearsal.acme import ACME_NAME, Pebble, start_pebble
from rehearsal.ground import Ground, Host, Service
from rehearsal.pki import PrivateCa
from rehearsal.resolver import set_resolver, start_resolver, use_resolver
from rehearsal.waiting import wait_for

pytestmark = pytest.mark.hosts

SITE = "postal.corp.example"
CADDYFILE = """\
{{
  email postmaster@corp.example
}}
{site} {{
  tls {{
    issuer acme {{
      dir {directory}
      disable_tlsalpn_challenge
    }}
  }}
  respond "hello"
}}
"""


@pytest.fixture(scope="module")
def ca() -> PrivateCa:
    return PrivateCa()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("test-acme") as made:
        yield made


@pytest.fixture(scope="module")
def web(ground: Ground, ca: PrivateCa) -> Host:
    """A host with Debian's Caddy, which does nothing yet."""
    host = ground.create_host("web1", ca_certificates=[ca.certificate], unsafe_dpkg=True)
    ground.exec(host, ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "caddy"])
    return host


@pytest.fixture(scope="module")
def resolver(ground: Ground, web: Host) -> Service:
    made = start_resolver(ground, {}, records={SITE: web.address})
    use_resolver(ground, web, made)
    return made


@pytest.fixture(scope="module")
def pebble(ground: Ground, ca: PrivateCa, resolver: Service) -> Pebble:
    return start_pebble(ground, ca, resolver, validity_seconds=7200)


def serve(ground: Ground, web: Host, site: str, directory: str) -> None:
    """Make Caddy serve ``site`` with a certificate it does not have yet."""
    ground.exec(web, ["systemctl", "stop", "caddy"])
    ground.exec(web, ["rm", "--recursive", "--force", "/var/lib/caddy/.local"])
    ground.copy_in(web, CADDYFILE.format(site=site, directory=directory), "/etc/caddy/Caddyfile")
    ground.exec(web, ["systemctl", "start", "caddy"])


def served(ground: Ground, web: Host, site: str, root: str, seconds: float = 150.0) -> bool:
    """Tell whether ``site`` answers with a certificate below ``root`` within so many seconds.

    Where an order fails for a reason that may pass, Caddy tries again after a minute.
    """
    ground.copy_in(web, root, "/root/acme-root.pem")
    fetch = ["curl", "--silent", "--cacert", "/root/acme-root.pem", "--max-time", "5", f"https://{site}/"]
    return bool(wait_for(lambda: ground.exec(web, fetch, check=False).stdout == "hello", seconds, pause=0.3))


def certificate(ground: Ground, web: Host, site: str) -> x509.Certificate:
    """Return the certificate Caddy keeps for ``site``."""
    pem = ground.exec(web, ["sh", "-c", f"cat /var/lib/caddy/.local/share/caddy/certificates/*/{site}/{site}.crt"])
    return x509.load_pem_x509_certificates(pem.stdout.encode())[0]


def test_its_directory_is_trusted_by_hosts_that_know_the_rehearsal_ca_and_by_no_other(
    ground: Ground, web: Host, pebble: Pebble
) -> None:
    assert '"newOrder"' in ground.exec(web, ["curl", "--silent", "--fail", pebble.directory]).stdout
    stranger = ground.create_host("stranger1")
    refused = ground.exec(stranger, ["curl", "--silent", pebble.directory], check=False)
    assert refused.returncode == 60, "curl(1): the certificate could not be verified"
    ground.remove(stranger)


def test_a_web_server_gets_a_certificate_over_http(ground: Ground, web: Host, pebble: Pebble) -> None:
    serve(ground, web, SITE, pebble.directory)
    assert served(ground, web, SITE, pebble.root_certificate)
    leaf = certificate(ground, web, SITE)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [SITE]
    # RFC 5280 counts the last second in.
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert abs(lifetime - dt.timedelta(seconds=7200)) <= dt.timedelta(seconds=1)
    asked = ground.exec(web, ["journalctl", "--unit", "caddy", "--no-pager"]).stdout
    assert '"challenge_type":"http-01"' in asked


def test_a_name_that_leads_elsewhere_gets_no_certificate(
    ground: Ground, web: Host, resolver: Service, pebble: Pebble
) -> None:
    other = "elsewhere.corp.example"
    set_resolver(ground, resolver, {}, records={SITE: web.address, other: pebble.service.address})
    serve(ground, web, other, pebble.directory)
    deadline = time.monotonic() + 30
    while "could not get certificate" not in (log := ground.exec(web, ["journalctl", "-u", "caddy"]).stdout):
        assert time.monotonic() < deadline, log[-2000:]
        time.sleep(0.3)
    assert pebble.service.address in log
    set_resolver(ground, resolver, {}, records={SITE: web.address, other: web.address})
    serve(ground, web, other, pebble.directory)
    assert served(ground, web, other, pebble.root_certificate)


def test_each_server_is_an_authority_of_its_own_and_is_asked_again_when_it_refuses_a_nonce(
    ground: Ground, ca: PrivateCa, web: Host, resolver: Service, pebble: Pebble
) -> None:
    ground.remove(pebble.service)
    # Every second time, and more, one of an order's requests is refused. Not more often: Caddy asks ten times; if all
    # are refused while a name is validated, Debian's (2.6, acmez 1.0) ends in a panic and never tries that name again.
    second = start_pebble(ground, ca, resolver, nonce_reject_percent=20)
    assert second.directory == f"https://{ACME_NAME}:14000/dir"
    assert second.root_certificate != pebble.root_certificate
    serve(ground, web, SITE, second.directory)
    assert served(ground, web, SITE, second.root_certificate)
    assert not served(ground, web, SITE, pebble.root_certificate, seconds=0)
