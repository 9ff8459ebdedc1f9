"""Zones with something wrong in delegation, name servers, hosts and reverse names."""

from tests.verify.case import DNSKEY, FAIL, UNKNOWN, WARN, Case

TWO_SERVERS = "needs two name servers that differ"
KEYS = "a real server wants signatures where there are keys"
KEY = f"@ 300 IN DNSKEY {DNSKEY}"

CASES = (
    Case(name="good"),
    Case(name="good-signed", swap={"key": KEY}, ds="{ds}", only_here=KEYS),
    Case(name="good-subdomains", add='*.eu 300 IN A {ip}\nshop.eu 300 IN TXT "hello; \\"world\\""'),
    Case(
        name="delegated-elsewhere",
        delegation="{d}. 300 IN NS ns1.{d}.\n{d}. 300 IN NS ns.other.example.\nns1.{d}. 300 IN A {first}\n"
        "ns1.{d}. 300 IN AAAA ::ffff:{first}\nns.other.example. 300 IN A {second}\n",
        elsewhere={"other.example": "ns 300 IN A {second}\nns1 300 IN A {second}"},
        found=(("zone-delegation", FAIL, "delegated to ns.other.example, ns1.{d}"),),
    ),
    Case(
        name="not-delegated",
        delegation='{d}. 300 IN TXT "registered, without servers"\n',
        found=(("zone-delegation", FAIL, "does not delegate"),),
    ),
    Case(
        name="child-differs",
        swap={"ns": "@ 300 IN NS ns1"},
        whole={"zones": {}},
        found=(("zone-delegation", WARN, "the zone ns1.{d}"),),
    ),
    Case(
        name="serials-differ",
        second={"soa": "@ 300 IN SOA ns1 hostmaster 6 7200 3600 1209600 300"},
        found=(("zone-servers", WARN, "serials 6, 7"),),
        only_here=TWO_SERVERS,
    ),
    Case(
        name="one-server-lame",
        second=None,
        found=(("zone-servers", FAIL, "ns2.{d} ({second}) does not serve the zone: REFUSED"),),
        only_here=TWO_SERVERS,
    ),
    Case(
        name="servers-silent",
        silent=True,
        found=(
            ("zone-delegation", UNKNOWN, "none of its name servers answered"),
            ("zone-servers", UNKNOWN, "ns1.{d} ({first}): no answer in time"),
            ("zone-servers", UNKNOWN, "ns1.{d} (::ffff:{first}): no answer in time"),
            ("zone-servers", UNKNOWN, "ns2.{d} ({second}): no answer in time"),
            ("zone-ipv6", UNKNOWN, "no answer over IPv6"),
            *(("published", UNKNOWN, "no answer in time"),) * 5,
        ),
        only_here="needs a server that does not answer",
    ),
    Case(
        name="glue-missing",
        delegation="{d}. 300 IN NS ns1.{d}.\n{d}. 300 IN NS ns2.{d}.\nns1.{d}. 300 IN A {first}\n"
        "ns1.{d}. 300 IN AAAA ::ffff:{first}\n",
        found=(("zone-glue", FAIL, "glue of ns2.{d}: none"),),
    ),
    Case(
        name="glue-old",
        delegation="{d}. 300 IN NS ns1.{d}.\n{d}. 300 IN NS ns2.{d}.\nns1.{d}. 300 IN A {first}\n"
        "ns1.{d}. 300 IN AAAA ::ffff:{first}\nns2.{d}. 300 IN A 93.184.216.99\n",
        found=(("zone-glue", WARN, "glue of ns2.{d}: 93.184.216.99"),),
    ),
    Case(
        name="server-without-address",
        swap={"ns2": None},
        found=(("zone-glue", FAIL, "the name server ns2.{d} has no address"),),
    ),
    Case(
        name="server-is-alias",
        swap={"ns2": "ns2 300 IN CNAME ns1"},
        found=(("zone-glue", FAIL, "the name server ns2.{d} is an alias of ns1.{d}"),),
    ),
    Case(
        name="no-ipv6-server",
        swap={"ns1": "ns1 300 IN A {first}"},
        delegation="{d}. 300 IN NS ns1.{d}.\n{d}. 300 IN NS ns2.{d}.\nns1.{d}. 300 IN A {first}\n"
        "ns2.{d}. 300 IN A {second}\n",
        found=(("zone-ipv6", WARN, "no name server has an IPv6 address"),),
    ),
    Case(
        name="one-ipv6-server-closed",
        swap={"ns2": "ns2 300 IN A {second}\nns2 300 IN AAAA ::ffff:{second}"},
        delegation="{d}. 300 IN NS ns1.{d}.\n{d}. 300 IN NS ns2.{d}.\nns1.{d}. 300 IN A {first}\n"
        "ns1.{d}. 300 IN AAAA ::ffff:{first}\nns2.{d}. 300 IN A {second}\nns2.{d}. 300 IN AAAA ::ffff:{second}\n",
        found=(
            ("zone-servers", UNKNOWN, "ns2.{d} (::ffff:{second}): no answer in time"),
            ("zone-ipv6", WARN, "over IPv6 there is no answer from ns2.{d} (::ffff:{second})"),
        ),
        partly_silent=True,
        only_here="needs an address where nobody listens",
    ),
    Case(
        name="bogus",
        swap={"key": KEY},
        ds="{ds}",
        bogus=True,
        found=(
            ("zone-dnssec", FAIL, "bogus"),
            *(("zone-glue", UNKNOWN, f"the addresses of ns{number}.{{d}}: SERVFAIL") for number in (1, 2)),
            *(("caa", UNKNOWN, "SERVFAIL"),) * 3,
            ("dmarc-reports", UNKNOWN, "rua.{d} MX: SERVFAIL"),
            ("mta-sts", UNKNOWN, "SERVFAIL"),
            ("mta-sts-id", UNKNOWN, "SERVFAIL"),
            ("tracking-names", UNKNOWN, "SERVFAIL"),
        ),
        only_here=KEYS,
    ),
    Case(
        name="signed-without-ds",
        swap={"key": KEY},
        found=(("zone-dnssec", WARN, "the parent has no DS"),),
        only_here=KEYS,
    ),
    Case(
        name="ds-of-old-key",
        swap={"key": KEY},
        ds="12345 15 2 " + "ab" * 32,
        found=(("zone-ds", FAIL, "no DS fits a key of the zone (other keys)"),),
        only_here=KEYS,
    ),
    Case(
        name="ds-without-key",
        ds="12345 15 2 " + "ab" * 32,
        found=(("zone-ds", FAIL, "no DS fits a key of the zone (no key)"),),
    ),
    Case(
        name="ds-sha1",
        swap={"key": KEY},
        ds="{sha1}",
        found=(("zone-ds", WARN, "DS with digest SHA-1"),),
        only_here=KEYS,
    ),
    Case(
        name="host-without-address",
        swap={"host": None},
        host={"helo": False},
        domain={"senders": ()},
        found=(
            ("host-addresses", FAIL, "no address"),
            ("mx", FAIL, "the MX mx.{d} has no address"),
            ("return-path", FAIL, "the MX mx.{d} has no address"),
            ("tracking-names", FAIL, "an alias of mx.{d}, which has no address"),
        ),
    ),
    Case(
        name="host-elsewhere",
        swap={"host": "mx 300 IN A 93.184.{n}.99\nmx 300 IN AAAA {ip6}"},
        found=(
            ("host-addresses", FAIL, "93.184.{n}.99"),
            ("host-forward-confirmed", FAIL, "mx.{d} does not lead back"),
            ("helo-spf", FAIL, "fail (-all of mx.{d})"),
        ),
    ),
    Case(
        name="host-undeclared-ipv6",
        host={"addresses": ("{ip}",)},
        domain={"senders": ("{ip}",)},
        found=(("host-addresses", FAIL, "{ip6}"),),
    ),
    Case(
        name="proxied",
        swap={"host": "mx 300 IN A 104.16.1.1\nmx 300 IN AAAA {ip6}"},
        host={"addresses": ()},
        domain={"senders": ()},
        elsewhere={"1.16.104.in-addr.arpa": "1 300 IN PTR mx.{d}."},
        found=(("host-proxied", FAIL, "104.16.1.1: Cloudflare's proxy"),),
    ),
    Case(
        name="helo-is-alias",
        swap={"host": "mx 300 IN CNAME box\nbox 300 IN A {ip}\nbox 300 IN AAAA {ip6}", "helo": None},
        add='box 300 IN TXT "v=spf1 a -all"',
        found=(
            ("host-alias", FAIL, "an alias of box.{d}"),
            ("mx", FAIL, "the MX mx.{d} is an alias of box.{d}"),
        ),
    ),
    Case(
        name="no-reverse",
        reverse=(),
        found=(("host-reverse", FAIL, "no reverse name"),),
    ),
    Case(
        name="reverse-generic",
        reverse6=("static-25.hoster.example",),
        elsewhere={"hoster.example": "static-25 300 IN AAAA {ip6}\nns1 300 IN A {first}"},
        found=(("host-reverse", FAIL, "static-25.hoster.example"),),
    ),
    Case(
        name="reverse-twice",
        reverse=("mx.{d}", "www.{d}"),
        found=(("host-reverse", WARN, "also www.{d}"),),
    ),
    Case(
        name="not-forward-confirmed",
        reverse=("old.{d}",),
        found=(
            ("host-reverse", FAIL, "old.{d}"),
            ("host-forward-confirmed", FAIL, "old.{d} does not lead back to it"),
        ),
    ),
    Case(
        name="helo-without-spf",
        swap={"helo": None},
        found=(("helo-spf", WARN, "no SPF record"),),
    ),
    Case(
        name="helo-spf-refuses",
        swap={"helo": 'mx 300 IN TXT "v=spf1 -all"'},
        found=(("helo-spf", FAIL, "fail (-all of mx.{d})"), ("helo-spf", FAIL, "fail (-all of mx.{d})")),
    ),
    Case(
        name="no-hosts-known",
        host=None,
        domain={"senders": (), "return_paths": (), "dkim": (), "mta_sts": None, "tracking": (), "receives": None},
        whole={"zones": {}, "issuers": ()},
    ),
    Case(
        name="record-differs",
        domain={"records": (("www.{d}", "A", "{ip}"), ("txt.{d}", "TXT", '"one" "two"'))},
        add='www 300 IN A 93.184.{n}.99\ntxt 300 IN TXT "onetwo"',
        found=(("published", FAIL, "93.184.{n}.99"),),
    ),
    Case(
        name="spf-differs",
        domain={"spf": "v=spf1 ip4:{ip} ip6:{ip6} ~all"},
        found=(("published", FAIL, "v=spf1 ip4:{ip} ip6:{ip6} -all"),),
    ),
    Case(
        name="mx-and-dmarc-differ",
        domain={"mx": ((10, "mx.{d}"), (20, "mx2.{d}")), "dmarc": "v=DMARC1; p=none"},
        found=(("published", FAIL, "10 mx.{d}"), ("published", FAIL, "v=DMARC1; p=reject")),
    ),
    Case(
        name="servers-differ",
        second={"spf": '@ 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} ~all"'},
        found=(("published", WARN, "not yet everywhere: the zone's servers differ"),),
        only_here=TWO_SERVERS,
    ),
    Case(
        name="resolver-is-late",
        late={"dmarc": '_dmarc 1800 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@rua.{d}"'},
        found=(("published", WARN, "still have another answer"),),
    ),
)
