"""Every rule of a declaration, broken once or more: the message names the thing, the rule and the fix."""

import base64

import pytest

from mailstack.dns import RULES, DkimKey, DmarcPolicy, DnsDeclaration, DnsRuleError, SpfInclude, SpfPolicy, declare
from tests.unit.dns.dns_examples import (
    ED25519_KEY,
    GOOGLE_SPF,
    declaration,
    declared,
    dkim,
    dmarc,
    domain,
    errors_of,
    host,
    integers,
    mx,
    public_key_info,
    rsa_key,
    spf,
)

PRIVATE_NUMBERS = integers(0, 2**2047 + 1, 65537, 5, 7, 11, 13, 17, 19)
PEM_PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
PEM_PUBLIC = "-----BEGIN PUBLIC KEY-----\nMIIBIj\n-----END PUBLIC KEY-----"
ED25519_OID = "1.3.101.112"
# PKCS#8 of an ed25519 key of zeros.
ED25519_PRIVATE = bytes.fromhex("302e020100300506032b657004220420") + bytes(32)
LONG_LABEL = "a" * 64
LONG_RECEIVER = ".".join(["r" * 50] * 4) + "." + "r" * 20
LONG_NAME = ".".join(["a" * 60] * 4) + ".example.com"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def includes(*names: str, **changes: int) -> DnsDeclaration:
    return declaration(domain(spf=SpfPolicy(includes=tuple(SpfInclude(domain=name, **changes) for name in names))))


def hosts(**changes: object) -> DnsDeclaration:
    return declaration(hosts=(host(**changes),))


# What is declared, the rule it breaks, what the message shows of it, and what the fix says.
ERRORS: list[tuple[DnsDeclaration, str, str, str]] = [
    # Names
    (declaration(domain(name="exam ple.com")), "name-syntax", '"exam ple.com"', "without blanks"),
    (declaration(domain(name="")), "name-syntax", '""', "without blanks"),
    (declaration(domain(name="https://example.com")), "name-syntax", "https://example.com", "only the domain name"),
    (declaration(domain(name="me@example.com")), "name-syntax", "me@example.com", "only the domain name"),
    (declaration(domain(name="example..com")), "name-syntax", "an empty label", "extra dot"),
    (declaration(domain(name="-example.com")), "name-syntax", '"-example"', "correct the label"),
    (declaration(domain(name="exa*mple.com")), "name-syntax", '"exa*mple"', "correct the label"),
    (declaration(domain(name="93.184.216.34")), "name-syntax", "the IP address", "host name"),
    (declaration(domain(name=f"{LONG_LABEL}.com")), "name-length", "64 bytes", "shorter label"),
    (declaration(domain(name=LONG_NAME)), "name-length", "255 bytes", "shorter name"),
    (hosts(name="mail_1.example.com"), "name-underscore", "mail_1.example.com", "hyphen"),
    (declaration(domain(name="localhost")), "name-qualified", "localhost", "registered domain"),
    (declaration(domain(name="example.123")), "name-qualified", "example.123", "registered domain"),
    (declaration(domain(name="straße.de")), "name-idn", "straße", "A-label"),
    (declaration(domain(name="xn--zzzzzzzz999.com")), "name-idn", "xn--zzzzzzzz999", "registrar"),
    # The set
    (declaration(ttl=59), "ttl-range", "59", "3600"),
    (declaration(ttl=86401), "ttl-range", "86401", "3600"),
    (declaration(ttl=0), "ttl-range", "0", "3600"),
    (declaration(domain(), domain(name="EXAMPLE.com.")), "domain-duplicate", "example.com", "one entry"),
    (declaration(aliases=("relay.example.com",)), "cname-exclusive", "relay.example.com", "remove the CNAME"),
    (declaration(aliases=("_dmarc.example.com",)), "cname-exclusive", "_dmarc.example.com", "another name"),
    # Hosts and addresses
    (declaration(hosts=(host(), host(name="Relay.Example.com"))), "host-duplicate", "relay.example.com", "merge"),
    (hosts(ipv4=()), "host-address", "without addresses", "ipv4"),
    (hosts(ipv4=("93.184.216",)), "address-syntax", "93.184.216", "198.51.100.7"),
    (hosts(ipv4=("93.184.216.34/32",)), "address-syntax", "/32", "address alone"),
    (hosts(ipv4=("93.184.216.034",)), "address-syntax", "034", "address alone"),
    (hosts(ipv6=("2600::g",)), "address-syntax", "2600::g", "2001:db8::7"),
    (hosts(ipv6=("2600::1%eth0",)), "address-syntax", "zone index", "remove %eth0"),
    (hosts(ipv6=("93.184.216.34",)), "address-family", "an IPv4 address", "ipv4"),
    (hosts(ipv4=("2600::1",)), "address-family", "an IPv6 address", "ipv6"),
    (hosts(ipv4=("93.184.216.34", "93.184.216.34")), "address-duplicate", "93.184.216.34", "remove one"),
    (hosts(ipv6=("2600::1", "2600:0::1")), "address-duplicate", "2600::1", "remove one"),
    *(
        (hosts(**{f"ipv{6 if ':' in ip else 4}": (ip,)}), "address-public", meaning, "address the host has")
        for ip, meaning in (
            ("10.1.2.3", "private"),
            ("172.31.0.1", "private"),
            ("192.168.1.1", "private"),
            ("127.0.0.1", "loopback"),
            ("169.254.1.1", "link-local"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("192.0.2.1", "documentation"),
            ("198.51.100.1", "documentation"),
            ("203.0.113.1", "documentation"),
            ("224.0.0.1", "multicast"),
            ("0.0.0.0", "this network"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:93.184.216.34", "mapped"),
            ("fe80::1", "link-local"),
            ("fd00::1", "unique local"),
            ("2001:db8::1", "documentation"),
            ("2002:5db8:d822::1", "6to4"),
            ("ff02::1", "multicast"),
        )
    ),
    # MX
    (declaration(mx((-1, "smtp.google.com"))), "mx-preference", "-1", "write 10"),
    (declaration(mx((65536, "smtp.google.com"))), "mx-preference", "65536", "write 10"),
    (declaration(mx(("10", "smtp.google.com"))), "mx-preference", "'10'", "write 10"),
    (declaration(mx((10, "93.184.216.34"))), "mx-target", "the IP address", "declare a host"),
    (declaration(mx((10, "[2600::1]"))), "mx-target", "the IP address", "declare a host"),
    (declaration(mx((10, "mx_1.example.com"))), "name-underscore", "mx_1.example.com", "hyphen"),
    (declaration(mx((10, "mail"))), "name-qualified", "mail", "registered domain"),
    (declaration(mx((10, "mx.example.com")), complete=True), "mx-address", "mx.example.com", "relay.hostname"),
    (declaration(mx((10, "example.com")), complete=True), "mx-address", "example.com", "a host of the stack"),
    (declaration(mx((1, "mx.example.net")), aliases=("mx.example.net",)), "mx-alias", "mx.example.net", "the target"),
    (declaration(mx((1, "a.example.net"), (1, "A.example.net."))), "mx-duplicate", "a.example.net", "keep the one"),
    (declaration(mx((1, "a.example.net"), (5, "a.example.net"))), "mx-duplicate", "2 times", "lower preference"),
    (declaration(mx((0, "."), (1, "a.example.net"))), "mx-null", "beside other", 'remove "."'),
    (declaration(mx((10, "."))), "mx-null", "preference 10", "mx: []"),
    # TXT
    (declaration(domain(texts=("two\nlines",))), "txt-characters", "two", "line breaks"),
    (declaration(domain(texts=("höhe",))), "txt-characters", "höhe", "non-ASCII"),
    (declaration(domain(texts=("",))), "txt-characters", "''", "control"),
    (declaration(domain(texts=("x" * 3801,))), "txt-length", "3801", "shorten"),
    (declaration(domain(texts=("token", "token"))), "txt-duplicate", '"token" twice', "remove one"),
    (declaration(domain(texts=("v=DMARC1; p=none",))), "txt-place", "v=DMARC1; p=none", "as dmarc or dkim"),
    (declaration(domain(texts=("v=DKIM1; p=",))), "txt-place", "v=DKIM1", "as dmarc or dkim"),
    (declaration(spf(*(f"ip4:93.184.{n}.0/24" for n in range(30)))), "txt-size", "an SPF record of", "ranges"),
    # SPF
    (declaration(domain(texts=("v=spf1 mx -all",))), "spf-single", "v=spf1 mx -all", "put its terms"),
    (declaration(domain(texts=(" V=SPF1 mx",))), "spf-single", "V=SPF1", "put its terms"),
    (declaration(domain(texts=("spf2.0/pra mx -all",))), "spf-sender-id", "spf2.0/pra", "remove"),
    (declaration(mta_sts=(("example.com", "not one"),)), "mta-sts-id", "not one", "mta_sts_id"),
    (declaration(spf("v=spf1 mx -all")), "spf-version", "v=spf1 mx -all", "an item of its own"),
    (declaration(spf("v=spf1")), "spf-version", "v=spf1", "an item of its own"),
    (declaration(spf("")), "spf-separator", '""', "own"),
    (declaration(spf("mx a")), "spf-separator", '"mx a"', "an item of its own"),
    (declaration(spf("ip4:93.184.216.34,ip4:93.184.216.35")), "spf-separator", "commas", "separate terms"),
    (declaration(spf("include=_spf.example.net")), "spf-separator", "include=", "include:_spf.example.net"),
    (declaration(spf("ip4=93.184.216.34")), "spf-separator", "ip4=", "write ip4:93.184.216.34"),
    (declaration(spf("redirect:_spf.example.net", all=None)), "spf-separator", "redirect:", "redirect=_spf"),
    (declaration(spf("-exp=why.example.com")), "spf-separator", "-exp=", "write exp=why.example.com"),
    (declaration(spf("%&!")), "spf-syntax", "%&!", "correct or remove"),
    (declaration(spf("include:münchen.de")), "spf-syntax", "münchen", "A-label"),
    (declaration(spf("include")), "spf-syntax", '"include"', "include:"),
    (declaration(spf("include:")), "spf-syntax", '"include:"', "include:"),
    (declaration(spf("a:")), "spf-syntax", '"a:"', "name the host"),
    (declaration(spf("mx@example.com")), "spf-syntax", "mx@example.com", "name the host"),
    (declaration(spf("ipv4:93.184.216.34")), "spf-mechanism", "ipv4", "write ip4:93.184.216.34"),
    (declaration(spf("ipv6:2600::1")), "spf-mechanism", "ipv6", "write ip6:2600::1"),
    (declaration(spf("ip:93.184.216.34")), "spf-mechanism", '"ip:', "write ip4:93.184.216.34"),
    (declaration(spf("ip:2600::1")), "spf-mechanism", '"ip:', "write ip6:2600::1"),
    (declaration(spf("inlcude:_spf.example.net")), "spf-mechanism", "inlcude", "write include:_spf.example.net"),
    (declaration(spf("zzzz:93.184.216.34")), "spf-mechanism", "zzzz", "remove it"),
    (declaration(spf("op=auth")), "spf-modifier", "op=auth", "remove op=auth"),
    (declaration(spf("ip4:93.184.216")), "spf-ip", "ip4:93.184.216", "correct the address"),
    (declaration(spf("ip4:relay.example.com")), "spf-ip", "relay.example.com", "use a:"),
    (declaration(spf("ip4")), "spf-ip", '"ip4"', "correct the address"),
    (declaration(spf("ip4:2600::1")), "spf-ip-family", "an IPv6 address", "write ip6:2600::1"),
    (declaration(spf("ip6:93.184.216.34")), "spf-ip-family", "an IPv4 address", "write ip4:93.184.216.34"),
    (declaration(spf("ip4:93.184.216.34/33")), "spf-prefix", "/33", "after the slash"),
    (declaration(spf("ip4:93.184.216.34/")), "spf-prefix", "34/", "after the slash"),
    (declaration(spf("ip4:93.184.216.0/024")), "spf-prefix", "/024", "after the slash"),
    (declaration(spf("ip4:93.184.216.0/255.255.255.0")), "spf-prefix", "/255", "after the slash"),
    (declaration(spf("ip6:2600::/129")), "spf-prefix", "/129", "after the slash"),
    (declaration(spf("a/33")), "spf-prefix", "a/33", "after the slash"),
    (declaration(spf("mx:example.net/24//129")), "spf-prefix", "//129", "after the slash"),
    (declaration(spf("a/24/64")), "spf-prefix", "a/24/64", "prefix lengths"),
    (declaration(spf("ip4:0.0.0.0/0")), "spf-broad", "a range of /0", "list the addresses"),
    (declaration(spf("ip4:64.0.0.0/4")), "spf-broad", "a range of /4", "list the addresses"),
    (declaration(spf("ip6:2000::/3")), "spf-broad", "a range of /3", "list the addresses"),
    (declaration(spf("a/0")), "spf-broad", "a range of /0", "list the addresses"),
    (declaration(spf("ip4:10.1.2.3")), "spf-address-public", "private", "public address"),
    (declaration(spf("ip6:fd00::/48")), "spf-address-public", "unique local", "public address"),
    (declaration(spf("a:93.184.216.34")), "spf-target", "the IP address", "write ip4:93.184.216.34"),
    (declaration(spf("a:2600::1")), "spf-target", "the IP address", "write ip6:2600::1"),
    (declaration(spf("mx:93.184.216.0/24")), "spf-target", "the IP address", "write ip4:93.184.216.0/24"),
    (declaration(spf("include:93.184.216.34")), "spf-target", "the IP address", "write ip4:93.184.216.34"),
    (declaration(spf("include:spf")), "spf-target", '"spf"', "registered domain"),
    (declaration(spf("exists:exam!ple.com")), "spf-target", "exam!ple", "correct the label"),
    (declaration(spf("a:mail-.example.net")), "spf-target", '"mail-"', "correct the label"),
    (includes("https://example.net", lookups=1), "spf-target", "https://example.net", "only the domain name"),
    (declaration(spf("exists:%{x}.example.com")), "spf-macro", "letter x", "correct the macro"),
    (declaration(spf("exists:%{c}.example.com")), "spf-macro", "letter c", "correct the macro"),
    (declaration(spf("exists:%i.example.com")), "spf-macro", "%i", "correct the macro"),
    (declaration(spf("exists:%{i.example.com")), "spf-macro", "%{i.", "correct the macro"),
    (declaration(spf("exists:%{i}.123")), "spf-macro", "%{i}.123", "end the target"),
    (declaration(spf("ip4:%{i}")), "spf-macro", "ip4:%{i}", "the address itself"),
    (declaration(spf("ptr")), "spf-ptr", '"ptr"', "ip4:"),
    (declaration(spf("ptr:example.com")), "spf-ptr", "ptr:example.com", "ip4:"),
    (declaration(spf(all="+all")), "spf-all", '"+all"', '"~all"'),
    (declaration(spf(all="+all")), "spf-all", '"+all"', '"~all"'),
    (declaration(spf(all="all")), "spf-all", '"all"', '"~all"'),
    (declaration(spf(all=None)), "spf-all", "no all and no redirect", "reports"),
    (declaration(spf("-all")), "spf-all-position", '"-all"', "set the field all"),
    (declaration(spf("mx", "+all", "ip4:93.184.216.34")), "spf-all-position", '"+all"', "set the field all"),
    (declaration(spf("redirect=_spf.example.net")), "spf-redirect", "among the mechanisms", "spf.redirect"),
    (declaration(spf(redirect="_spf.example.net")), "spf-redirect", "together with ~all", "leave spf.all out"),
    (declaration(spf("exp=a.example.net", "exp=b.example.net")), "spf-repeated-modifier", "2 exp", "keep one"),
    (declaration(spf("exp=a.example.com", "exp=b.example.com")), "spf-repeated-modifier", "2 exp", "keep one"),
    (includes("example.com", lookups=1), "spf-include-loop", "example.com -> example.com", "remove the include"),
    (declaration(spf("include:example.net"), domain(name="example.net", spf=spf("include:example.com").spf)),
     "spf-include-loop", "example.com -> example.net -> example.com", "remove the include"),
    (includes("relay.example.com", lookups=1), "spf-include-target", "which is a host", "write a:relay.example.com"),
    (declaration(spf(redirect="relay.example.com", all=None)), "spf-include-target", "which is a host", "write a:"),
    (declaration(spf("include:_spf.example.com"), complete=True), "spf-include-target", "has no SPF record",
     "declare _spf.example.com"),
    (declaration(spf("a"), complete=True), "spf-void", "example.com has no address", "remove a"),
    (declaration(spf("a:web.example.com/28"), complete=True), "spf-void", "web.example.com has no", "declare what"),
    (declaration(spf("mx:relay.example.com"), complete=True), "spf-void", "relay.example.com has no MX", "remove mx"),
    (includes("_spf.example.net", lookups=0), "spf-include-cost", "0 as the cost", "count the include"),
    (includes("_spf.google.com", "sendgrid.net", "amazonses.com", lookups=4), "spf-lookups",
     "12 DNS lookups (include:_spf.google.com 4, include:sendgrid.net 4, include:amazonses.com 4)", "subdomain"),
    (declaration(spf(*(f"a:h{n}.example.net" for n in range(7)))), "spf-lookups", "11 DNS lookups", "ip4:"),
    (declaration(mx(*((n, f"mx{n}.example.net") for n in range(11))), domain(name="example.net",
                 spf=SpfPolicy(mechanisms=("mx:example.com",)))), "spf-mx-hosts", "11 exchangers", "ip4:"),
    (declaration(domain(mx=None, spf=SpfPolicy(mechanisms=("a", "mx")))), "spf-mx-empty", "null MX", "remove mx"),
    (declaration(domain(spf=SpfPolicy())), "spf-empty", "no term", "upstream's include"),
    (declaration(domain(spf=SpfPolicy(mechanisms=("?mx",)))), "spf-empty", "no term", "upstream's include"),
    (declaration(spf("mx", "-mx")), "spf-conflict", "mx and -mx", "keep either"),
    # DKIM
    (declaration(dkim(rsa_key(2048), selector="")), "dkim-selector", '""', "selector alone"),
    (declaration(dkim(rsa_key(2048), selector="s_1")), "dkim-selector", "s_1", "selector alone"),
    (declaration(dkim(rsa_key(2048), selector="s1._domainkey")), "dkim-selector", "s1._domainkey", "selector alone"),
    (declaration(dkim(rsa_key(2048), selector="s1.example.com")), "dkim-selector", "repeats the domain", "before"),
    (declaration(dkim(rsa_key(2048), selector=".".join(["s" * 60] * 4))), "name-length", "bytes", "shorter"),
    (declaration(domain(dkim=(DkimKey(selector="s1", public_key=rsa_key(2048)),
                              DkimKey(selector="S1", public_key=rsa_key(2048, 2))))),
     "dkim-selector-duplicate", '"S1" twice', "a selector of its own"),
    (declaration(dkim(rsa_key(2048), key_type="dsa")), "dkim-key-type", '"dsa"', '"rsa"'),
    (declaration(dkim(PEM_PUBLIC)), "dkim-key", "header lines", "BEGIN and END"),
    (declaration(dkim(rsa_key(2048)[:64] + "\n" + rsa_key(2048)[64:])), "dkim-key", "line breaks", "remove"),
    (declaration(dkim(f"v=DKIM1; p={rsa_key(2048)}".replace(" ", ""))), "dkim-key", "a whole DKIM record", "p="),
    (declaration(dkim("not*base64")), "dkim-key", "10 characters that are not base64", "again, completely"),
    (declaration(dkim(rsa_key(2048)[:-8])), "dkim-key", "not a DER public key", "without adding or losing"),
    (declaration(dkim(b64(b"\x30\x03\x02\x01\x05"))), "dkim-key", "5 bytes", "completely"),
    (declaration(dkim(b64(base64.b64decode(rsa_key(2048)) + b"\0"))), "dkim-key", "not a DER", "completely"),
    (declaration(dkim(b64(integers(2**2047 + 1, 65537)))), "dkim-key", "PKCS#1", "-pubout"),
    (declaration(dkim(public_key_info(b"\x01" * 32, ED25519_OID, b""))), "dkim-key", "ed25519", "ed25519"),
    (declaration(dkim(public_key_info(b"\x04" * 65, "1.2.840.10045.2.1", b""))), "dkim-key", "another kind", "RSA"),
    (declaration(dkim(public_key_info(b"junk"))), "dkim-key", "inside cannot be read", "openssl rsa"),
    (declaration(dkim(public_key_info(integers(2**2047 + 1, 65537), parameters=b""))), "dkim-key", "inside", "openssl"),
    (declaration(dkim(public_key_info(integers(2**2047 + 2, 65537)))), "dkim-key", "belong to no key", "openssl"),
    (declaration(dkim(public_key_info(integers(2**2047 + 1, 1)))), "dkim-key", "belong to no key", "openssl"),
    (declaration(dkim(ED25519_KEY)), "dkim-key", "32 bytes", 'key_type to "ed25519"'),
    (declaration(dkim(b64(b"\x01" * 31), key_type="ed25519")), "dkim-key", "31 bytes", "tail -c 32"),
    (declaration(dkim(public_key_info(b"\x01" * 32, ED25519_OID, b""), key_type="ed25519")), "dkim-key",
     "SubjectPublicKeyInfo", "tail -c 32"),
    (declaration(dkim(b64(b"\x02" + b"\0" * 31), key_type="ed25519")), "dkim-key", "not a point", "public key"),
    (declaration(dkim(PEM_PRIVATE)), "dkim-key-private", "(not shown)", "new key pair"),
    (declaration(dkim(b64(PRIVATE_NUMBERS))), "dkim-key-private", "(not shown)", "new key pair"),
    (declaration(dkim(b64(ED25519_PRIVATE), key_type="ed25519")), "dkim-key-private", "(not shown)", "new key pair"),
    (declaration(dkim(b64(ED25519_PRIVATE))), "dkim-key-private", "(not shown)", "new key pair"),
    (declaration(dkim(rsa_key(1023))), "dkim-key-size", "1023 bits", "openssl genrsa 2048"),
    (declaration(dkim("")), "dkim-revoked", "an empty public key", "revoked to true"),
    (declaration(dkim(rsa_key(2048), revoked=True)), "dkim-revoked", "revoked together", "revoked to false"),
    (declaration(dkim(ED25519_KEY, key_type="ed25519")), "dkim-ed25519-alone", "only an ed25519", "second selector"),
    # DMARC
    (declaration(dmarc(policy="block")), "dmarc-policy", "p=block", "set policy"),
    (declaration(dmarc(subdomain_policy="all")), "dmarc-policy", "sp=all", "set subdomain_policy"),
    (declaration(dmarc(nonexistent_policy="")), "dmarc-policy", "np=", "set nonexistent_policy"),
    (declaration(dmarc(dkim_alignment="r")), "dmarc-alignment", "dkim_alignment", '"relaxed"'),
    (declaration(dmarc(spf_alignment="loose")), "dmarc-alignment", '"loose"', '"relaxed"'),
    (declaration(domain(dmarc=None)), "dmarc-missing", "no DMARC policy", "aggregate_reports"),
    (declaration(domain(), domain(name="example.net", dmarc=None)), "dmarc-missing", "no DMARC", "set dmarc"),
    (declaration(dmarc(failure_options=("2",), failure_reports=("f@example.com",))), "dmarc-failure-options",
     "fo=2", 'remove "2"'),
    (declaration(dmarc(aggregate_reports=("dmarc",))), "dmarc-report-address", '"dmarc" in rua', "own"),
    (declaration(dmarc(aggregate_reports=("a@example.com,b@example.com",))), "dmarc-report-address", "in rua", "own"),
    (declaration(dmarc(aggregate_reports=("https://example.com/r",))), "dmarc-report-address", "https:", "https:"),
    (declaration(dmarc(aggregate_reports=("mailto:a@example.com?subject=x",))), "dmarc-report-address",
     "subject", "after the @"),
    (declaration(dmarc(failure_reports=("a b@example.com",))), "dmarc-report-address", "in ruf", "own"),
    (declaration(dmarc(aggregate_reports=("a@localhost",))), "dmarc-report-address", "localhost", "after the @"),
    (declaration(dmarc(aggregate_reports=(f"{'a' * 65}@example.com",))), "dmarc-report-address", "in rua", "own"),
    (declaration(dmarc(aggregate_reports=(f"a@{LONG_RECEIVER}.example.net",)), domain(name="example.net")),
     "name-length", "263 bytes", "shorter name"),
    (declaration(dmarc(aggregate_reports=("a@example.com!10m",))), "dmarc-report-size", "!10m", "remove !10m"),
    (declaration(dmarc(aggregate_reports=("a@example.com", "mailto:a@EXAMPLE.com"))), "dmarc-report-duplicate",
     "twice in rua", "remove one"),
    (declaration(dmarc(aggregate_reports=("a@example.net",)), domain(name="example.net", mx=None)),
     "dmarc-report-mailbox", "null MX", "give example.net an mx"),
]  # fmt: skip

WARNINGS: list[tuple[DnsDeclaration, str, str, str]] = [
    (declaration(domain(mx=None, dmarc=DmarcPolicy(policy="none"))), "mx-null-sender", "null MX", "MAIL FROM"),
    (declaration(mx((10, "mx.example.com"))), "mx-address", "mx.example.com", "relay.hostname"),
    (declaration(domain(mx=())), "mx-none", "no MX", "declare mx"),
    (declaration(domain(texts=tuple(f"token={n:050}" for n in range(8)))), "txt-size", "bytes of TXT", "verification"),
    (declaration(domain(texts=tuple(f"token={n:050}" for n in range(12)))), "txt-size", "does not fit", "shorten"),
    (declaration(spf("ip4:93.184.216.34/24")), "spf-host-bits", "34/24", "write ip4:93.184.216.0/24"),
    (declaration(spf("ip6:2600::1/48")), "spf-host-bits", "2600::1/48", "write ip6:2600::/48"),
    (declaration(spf("ip4:93.0.0.0/15")), "spf-broad", "a range of /15", "list the addresses"),
    (declaration(spf("ip6:2600::/31")), "spf-broad", "a range of /31", "list the addresses"),
    (declaration(spf("a:example.net/8")), "spf-broad", "a range of /8", "list the addresses"),
    (declaration(spf("exists:%{p}.example.com")), "spf-macro", "%{p}", "use %{i}"),
    (includes("_spf.example.net"), "spf-include-cost", "include:_spf.example.net", "spf.lookups"),
    (declaration(spf("include:_spf.example.net")), "spf-include-cost", "not known", "spf.lookups"),
    (declaration(spf("ip4:93.184.216.34"), hosts=(host(ipv6=("2600::1",)),)), "spf-host-partial", "2600::1",
     "a:relay.example.com"),
    (declaration(dkim(rsa_key(1024))), "dkim-key-size", "1024 bits", "new selector"),
    (declaration(dkim(rsa_key(4104))), "dkim-key-size", "need not verify more than 4096", "openssl genrsa 2048"),
    (declaration(domain(dkim=(DkimKey(selector="s1", public_key=rsa_key(2048)),
                              DkimKey(selector="s2", public_key=rsa_key(2048))))),
     "dkim-key-reused", "s1._domainkey.example.com", "new key pair"),
    (declaration(dkim(rsa_key(2048), testing=True)), "dkim-testing", "t=y", "testing to false"),
    (declaration(domain(dkim=())), "dkim-missing", "no key", "Google Workspace"),
    (declaration(dkim("", revoked=True)), "dkim-missing", "no key in use", "public key"),
    (declaration(dmarc(subdomain_policy="none")), "dmarc-weaker-subdomains", "sp=none", "set subdomain_policy"),
    (declaration(dmarc(nonexistent_policy="none")), "dmarc-weaker-subdomains", "np=none", "set nonexistent_policy"),
    (declaration(dmarc(policy="none", aggregate_reports=())), "dmarc-no-reports", "p=none", "aggregate_reports"),
    (declaration(dmarc(failure_options=("1",))), "dmarc-failure-options", "fo=1", "failure_reports"),
    (declaration(dmarc(failure_reports=("f@example.com",))), "dmarc-failure-reports", "ruf", "remove"),
    (declaration(dmarc(aggregate_reports=tuple(f"{n}@example.com" for n in "abc"))), "dmarc-report-count",
     "3 addresses", "mailing list"),
    (declaration(dmarc(aggregate_reports=("a@example.org",))), "dmarc-report-authorisation",
     'example.com._report._dmarc.example.org TXT "v=DMARC1;"', "publish"),
]  # fmt: skip

# Broken by other callers than declare(); the tests of zone files and record sets cover them.
OTHER_RULES = {
    "rrset-ttl",
    "zone-scope",
    "zone-nameservers",
    "zone-nameserver-address",
    "zone-hostmaster",
    "zone-serial",
}


@pytest.mark.parametrize(
    ("broken", "rule", "found", "fix"), ERRORS, ids=[f"{n}-{case[1]}" for n, case in enumerate(ERRORS)]
)
def test_broken_rule_is_refused_with_thing_rule_source_and_fix(
    broken: DnsDeclaration, rule: str, found: str, fix: str
) -> None:
    problems = [problem for problem in errors_of(broken) if problem.rule == rule]
    assert problems, errors_of(broken)
    text = str(problems[0])
    shown = f"{problems[0].found}; expected {problems[0].expected}"
    assert found in shown
    assert fix in problems[0].fix
    assert f"[{rule}; {RULES[rule]}]" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("unwise", "rule", "found", "fix"), WARNINGS, ids=[f"{n}-{case[1]}" for n, case in enumerate(WARNINGS)]
)
def test_likely_mistake_is_accepted_with_a_warning(unwise: DnsDeclaration, rule: str, found: str, fix: str) -> None:
    warnings = [warning for warning in declare(unwise).warnings if warning.rule == rule]
    assert len(warnings) == 1, declare(unwise).warnings
    assert found in f"{warnings[0].found}; expected {warnings[0].expected}"
    assert fix in warnings[0].fix


def test_every_rule_has_a_case() -> None:
    assert {case[1] for case in (*ERRORS, *WARNINGS)} | OTHER_RULES == set(RULES)


def test_faultless_declaration_has_no_warning() -> None:
    assert declared().warnings == ()


def test_one_mistake_is_reported_once_and_alone() -> None:
    alone = [case for case in ERRORS if len(errors_of(case[0])) == 1]
    # Some declarations break two rules by nature (a lost host name also leaves its MX without address).
    assert len(alone) > 0.9 * len(ERRORS)


def test_all_mistakes_are_reported_at_once() -> None:
    broken = declaration(
        domain(
            mx=mx((-1, "a.example.net")).mx,
            spf=SpfPolicy(mechanisms=("ptr", "ipv4:93.184.216.34"), all="+all"),
            dkim=(DkimKey(selector="s1", public_key="?"),),
            dmarc=DmarcPolicy(policy="reject", aggregate_reports=("nobody",)),
            texts=("v=spf1 -all",),
        ),
        hosts=(host(ipv4=("10.0.0.1",)),),
        ttl=5,
    )
    with pytest.raises(DnsRuleError) as caught:
        declare(broken)
    rules = {problem.rule for problem in caught.value.problems}
    assert rules == {
        "ttl-range",
        "address-public",
        "mx-preference",
        "spf-ptr",
        "spf-mechanism",
        "spf-all",
        "spf-single",
        "dkim-key",
        "dmarc-report-address",
    }
    text = str(caught.value)
    assert text.startswith("9 DNS rules are broken:\n")
    assert text.count("\n") == 9


@pytest.mark.parametrize("secret", [PEM_PRIVATE, b64(PRIVATE_NUMBERS)])
def test_private_key_pasted_as_public_key_is_never_shown(secret: str) -> None:
    broken = declaration(dkim(secret))
    with pytest.raises(DnsRuleError) as caught:
        declare(broken)
    shown = f"{caught.value}{caught.value.problems!r}{broken!r}"
    assert "MII" not in shown
    assert secret[:40] not in shown


def test_private_key_pasted_as_selector_is_never_shown() -> None:
    problems = errors_of(declaration(dkim(rsa_key(2048), selector=PEM_PRIVATE)))
    assert [problem.rule for problem in problems] == ["dkim-selector"]
    assert "MIIEow" not in str(problems[0])


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "192.0.2.1", "fd00::1"])
def test_rehearsal_may_publish_addresses_of_this_machine(address: str) -> None:
    family = "ipv6" if ":" in address else "ipv4"
    records = declared(hosts=(host(**{family: (address,)}),), production=False).records
    assert records.at("relay.example.com", "AAAA" if ":" in address else "A")


@pytest.mark.parametrize(
    "address",
    ["9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.3.0",
     "192.167.255.255", "192.169.0.0", "169.253.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
     "2001:1::", "2001:db7:ffff::", "2001:db9::", "2003::", "fbff::"],
)  # fmt: skip
def test_neighbours_of_special_blocks_are_public(address: str) -> None:
    assert errors_of(hosts(**{"ipv6" if ":" in address else "ipv4": (address,)})) == ()


@pytest.mark.parametrize(
    "address",
    ["10.255.255.255", "100.127.255.255", "172.16.0.0", "172.31.255.255", "192.168.255.255", "198.19.255.255",
     "239.255.255.255", "2001:db8:ffff::", "fdff::", "febf::", "2001:0:ffff::", "3fff:fff::", "100::ffff"],
)  # fmt: skip
def test_edges_of_special_blocks_are_refused(address: str) -> None:
    broken = hosts(**{"ipv6" if ":" in address else "ipv4": (address,)})
    assert [problem.rule for problem in errors_of(broken)] == ["address-public"]


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:10.0.0.1"])
def test_rehearsal_refuses_addresses_no_host_can_have(address: str) -> None:
    broken = hosts(**{"ipv6" if ":" in address else "ipv4": (address,)})
    relaxed = DnsDeclaration(domains=broken.domains, hosts=broken.hosts, production=False)
    assert [problem.rule for problem in errors_of(relaxed)] == ["address-public"]


def test_rehearsal_may_name_private_addresses_in_spf() -> None:
    assert declared(spf("ip4:10.1.2.3"), production=False).records.texts("example.com") == (
        "v=spf1 ip4:10.1.2.3 include:_spf.google.com ~all",
    )


def test_lookup_cost_of_ten_is_accepted() -> None:
    includes_of_ten = SpfPolicy(includes=(*GOOGLE_SPF.includes, SpfInclude(domain="sendgrid.net", lookups=6)))
    assert errors_of(declaration(domain(spf=includes_of_ten))) == ()
