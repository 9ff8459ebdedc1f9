"""Zones with something wrong in SPF, DKIM and DMARC."""

from tests.verify.case import ED25519, FAIL, KEY512, KEY1024, WARN, Case

NETS = "net.{d}"


def spf(text: str) -> dict[str, str | None]:
    return {"spf": f'@ 300 IN TXT "{text}"'}


def dkim(text: str) -> dict[str, str | None]:
    return {"dkim": f's1._domainkey 300 IN TXT "{text}"'}


def dmarc(text: str) -> dict[str, str | None]:
    return {"dmarc": f'_dmarc 300 IN TXT "{text}"'}


NOT_PASSED = ("spf-senders", FAIL, "permerror")
ELEVEN = " ".join(f"a:h{number}.{{d}}" for number in range(11))
HOSTS = "\n".join(f"h{number} 300 IN A 93.184.{{n}}.{number + 20}" for number in range(11))

SPF = (
    Case(
        name="spf-none",
        swap={"spf": None},
        found=(("spf-record", FAIL, "no SPF record"), ("spf-senders", FAIL, "none")),
    ),
    Case(
        name="spf-two",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} -all"),
        add='@ 300 IN TXT "v=spf1 include:_spf.{d} ~all"',
        found=(("spf-record", FAIL, "2 SPF records"), NOT_PASSED),
    ),
    Case(
        name="spf-nearly",
        swap=spf(" v=spf1 ip4:{ip} ip6:{ip6} -all"),
        found=(("spf-record", FAIL, "' v=spf1"), ("spf-senders", FAIL, "none")),
    ),
    Case(
        name="spf-unknown-mechanism",
        swap=spf("v=spf1 ipv4:{ip} ip6:{ip6} -all"),
        found=(("spf-record", FAIL, 'permerror: the unknown mechanism "ipv4:{ip}"'), NOT_PASSED),
    ),
    Case(
        name="spf-host-as-address",
        swap=spf("v=spf1 ip4:mx.{d} ip6:{ip6} -all"),
        found=(("spf-record", FAIL, "ip4:mx.{d}"), NOT_PASSED),
    ),
    Case(
        name="spf-family-swapped",
        swap=spf("v=spf1 ip4:{ip6} ip4:{ip} -all"),
        found=(("spf-record", FAIL, "an IPv6 address"), NOT_PASSED),
    ),
    Case(
        name="spf-commas",
        swap=spf("v=spf1 ip4:{ip},ip6:{ip6} -all"),
        found=(("spf-record", FAIL, "permerror"), NOT_PASSED),
    ),
    Case(
        name="spf-include-with-equals",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} include=_spf.{d} -all"),
        found=(("spf-record", FAIL, "include=_spf.{d}"),),
    ),
    Case(
        name="spf-plus-all",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} +all"),
        found=(("spf-record", FAIL, "anybody may send"),),
    ),
    Case(
        name="spf-neutral",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} ?all"),
        found=(("spf-record", WARN, "ends with ?all"),),
    ),
    Case(
        name="spf-without-all",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6}"),
        found=(("spf-record", WARN, "no all at its end"),),
    ),
    Case(
        name="spf-after-all",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} -all a"),
        found=(("spf-record", WARN, "receivers ignore a,"),),
    ),
    Case(
        name="spf-redirect-and-all",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} redirect=_spf.{d} -all"),
        add='_spf 300 IN TXT "v=spf1 -all"',
        found=(("spf-record", WARN, "receivers ignore redirect="),),
    ),
    Case(
        name="spf-two-redirects",
        swap=spf("v=spf1 redirect=_a.{d} redirect=_b.{d}"),
        found=(("spf-record", FAIL, "redirect= twice"), NOT_PASSED),
    ),
    Case(
        name="spf-ptr",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} ptr -all"),
        found=(("spf-record", WARN, "ptr"),),
    ),
    Case(
        name="spf-broad",
        swap=spf("v=spf1 ip4:93.0.0.0/8 ip6:{ip6} -all"),
        found=(("spf-record", WARN, "a range of /8"),),
    ),
    Case(
        name="spf-private",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} ip4:10.0.0.0/24 -all"),
        found=(("spf-record", WARN, "private"),),
    ),
    Case(
        name="spf-large",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} -all"),
        add=f'@ 300 IN TXT "verification={"x" * 420}"',
        found=(("spf-record", WARN, "bytes of TXT"),),
    ),
    Case(
        name="spf-eleven-lookups",
        swap=spf(f"v=spf1 {ELEVEN} ip4:{{ip}} ip6:{{ip6}} -all"),
        add=HOSTS,
        found=(("spf-lookups", FAIL, "11 DNS lookups"), NOT_PASSED),
    ),
    Case(
        name="spf-nested-lookups",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} include:_one.{d} include:_two.{d} -all"),
        add=HOSTS
        + '\n_one 300 IN TXT "v=spf1 a:h0.{d} a:h1.{d} a:h2.{d} a:h3.{d} a:h4.{d} a:h5.{d} -all"'
        + '\n_two 300 IN TXT "v=spf1 a:h6.{d} a:h7.{d} a:h8.{d} -all"',
        found=(("spf-lookups", FAIL, "11 DNS lookups, most of them for include:_one.{d} 7, include:_two.{d} 4"),),
    ),
    Case(
        name="spf-ten-lookups-are-fine",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} include:_one.{d} a:h6.{d} a:h7.{d} a:h8.{d} -all"),
        add=HOSTS + '\n_one 300 IN TXT "v=spf1 a:h0.{d} a:h1.{d} a:h2.{d} a:h3.{d} a:h4.{d} a:h5.{d} -all"',
    ),
    Case(
        name="spf-hosts-without-ipv6",
        swap=spf("v=spf1 a:h0.{d} a:h1.{d} a:h2.{d} ip4:{ip} ip6:{ip6} -all"),
        add=HOSTS,
        found=(("spf-senders", FAIL, "permerror for {ip6}: more than 2 lookups that find nothing"),),
    ),
    Case(
        name="spf-mail-hosts-without-ipv6",
        swap=spf("v=spf1 mx:many.{d} ip4:{ip} ip6:{ip6} -all"),
        add=HOSTS + "\n" + "\n".join(f"many 300 IN MX 10 h{number}" for number in range(3)),
    ),
    Case(
        name="spf-one-void",
        swap=spf("v=spf1 ip4:{ip} ip6:{ip6} a:gone.{d} -all"),
        found=(("spf-lookups", WARN, "1 lookups that find nothing: a:gone.{d}"),),
    ),
    Case(
        name="spf-three-voids",
        swap=spf("v=spf1 a:gone.{d} mx:lost.{d} a:left.{d} ip4:{ip} ip6:{ip6} -all"),
        found=(("spf-lookups", FAIL, "3 lookups that find nothing"), NOT_PASSED),
    ),
    Case(
        name="spf-include-nothing",
        swap=spf("v=spf1 include:gone.{d} ip4:{ip} ip6:{ip6} -all"),
        found=(("spf-lookups", FAIL, "include:gone.{d}: gone.{d} has no SPF record"), NOT_PASSED),
    ),
    Case(
        name="spf-loop",
        swap=spf("v=spf1 include:_a.{d} ip4:{ip} ip6:{ip6} -all"),
        add='_a 300 IN TXT "v=spf1 include:{d} -all"',
        found=(("spf-lookups", FAIL, "a loop: {d} -> _a.{d} -> {d}"), NOT_PASSED),
    ),
    Case(
        name="spf-many-mail-hosts",
        swap=spf("v=spf1 mx:many.{d} ip4:{ip} ip6:{ip6} -all"),
        add=HOSTS + "\n" + "\n".join(f"many 300 IN MX 10 h{number}" for number in range(11)),
        found=(("spf-lookups", FAIL, "has 11 exchangers; 10 are the limit"), NOT_PASSED),
    ),
    Case(
        name="spf-forgets-ipv6",
        swap=spf("v=spf1 ip4:{ip} -all"),
        found=(("spf-senders", FAIL, "fail for {ip6}: -all of {d}"),),
    ),
    Case(
        name="spf-by-macro",
        swap=spf("v=spf1 exists:%{ir}.ok.{d} ip6:{ip6} -all"),
        add="10.{n}.184.93.ok 300 IN A 127.0.0.2",
    ),
    Case(
        name="spf-by-every-term",
        swap=spf("v=spf1 ?ip4:93.184.216.99 a:mx.{d}/28//64 mx include:_x.{d} redirect=_y.{d}"),
        add='_x 300 IN TXT "v=spf1 mx:{d} ~all"\n_y 300 IN TXT "v=spf1 -all"',
    ),
    Case(
        name="spf-return-path-refuses",
        swap={"rp": 'rp 300 IN MX 10 mx\nrp 300 IN TXT "v=spf1 -all"'},
        found=(("spf-senders", FAIL, "fail for {ip}, {ip6}: -all of rp.{d}"),),
    ),
)
DKIM = (
    Case(name="dkim-none", swap={"dkim": None}, found=(("dkim-key", FAIL, "no key"),)),
    Case(
        name="dkim-nothing-at-all",
        swap={"dkim": None},
        domain={"dkim": ()},
        found=(("dkim-key", WARN, "nothing at or below _domainkey"),),
    ),
    Case(
        name="dkim-two",
        add='s1._domainkey 300 IN TXT "v=DKIM1; p="',
        found=(("dkim-key", FAIL, "2 TXT records"),),
    ),
    Case(
        name="dkim-other-key",
        domain={"dkim": ({"selector": "s1", "text": f"v=DKIM1; k=rsa; p={KEY1024}"},)},
        found=(("dkim-key", FAIL, "another key than declared"),),
    ),
    Case(
        name="dkim-as-declared",
        domain={"dkim": ({"selector": "s1", "text": "v=DKIM1;k=rsa;p={key};"},)},
    ),
    Case(
        name="dkim-other-tags",
        domain={"dkim": ({"selector": "s1", "text": "v=DKIM1; t=s; h=sha256; p={key};"},)},
        found=(("dkim-key", FAIL, "other tags than declared"),),
    ),
    Case(name="dkim-short", swap=dkim(f"v=DKIM1; k=rsa; p={KEY512}"), found=(("dkim-key", FAIL, "512 bits"),)),
    Case(name="dkim-1024", swap=dkim(f"v=DKIM1; k=rsa; p={KEY1024}"), found=(("dkim-key", WARN, "1024 bits"),)),
    Case(
        name="dkim-cut-off", swap=dkim("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0B"), found=(("dkim-key", FAIL, "bytes"),)
    ),
    Case(name="dkim-sha1", swap=dkim("v=DKIM1; h=sha1; p={key}"), found=(("dkim-key", FAIL, "h=sha1"),)),
    Case(name="dkim-not-for-mail", swap=dkim("v=DKIM1; s=tlsrpt; p={key}"), found=(("dkim-key", FAIL, "s=tlsrpt"),)),
    Case(
        name="dkim-version",
        swap=dkim("v=DKIM2; p={key}"),
        found=(("dkim-key", FAIL, "v=DKIM2"), ("dkim-key", FAIL, "bad version")),
    ),
    Case(name="dkim-testing", swap=dkim("v=DKIM1; t=y; p={key}"), found=(("dkim-key", WARN, "t=y"),)),
    Case(name="dkim-unknown-kind", swap=dkim("v=DKIM1; k=dsa; p={key}"), found=(("dkim-key", FAIL, "k=dsa"),)),
    Case(name="dkim-revoked", swap=dkim("v=DKIM1; p="), found=(("dkim-key", FAIL, "revoked: p is empty"),)),
    Case(
        name="dkim-not-yet-revoked",
        domain={"dkim": ({"selector": "s1", "revoked": True},)},
        found=(("dkim-key", WARN, "declared as revoked is still there"),),
    ),
    Case(
        name="dkim-revoked-and-gone",
        domain={
            "dkim": ({"selector": "s1"}, {"selector": "old", "revoked": True}, {"selector": "no", "revoked": True})
        },
        add='old._domainkey 300 IN TXT "v=DKIM1; p="',
    ),
    Case(
        name="dkim-ed25519-alone",
        swap=dkim(f"v=DKIM1; k=ed25519; p={ED25519}"),
        found=(("dkim-key", WARN, "only ed25519"),),
    ),
    Case(
        name="dkim-ed25519-beside",
        add=f's2._domainkey 300 IN TXT "v=DKIM1; k=ed25519; p={ED25519}"',
        domain={"dkim": ({"selector": "s1"}, {"selector": "s2"})},
    ),
    Case(
        name="dkim-alias",
        swap={"dkim": "s1._domainkey 300 IN CNAME c1.keys.{d}."},
        add='c1.keys 300 IN TXT "v=DKIM1; p={key}"',
        domain={"dkim": ({"selector": "s1", "alias": "c1.keys.{d}"},)},
    ),
    Case(
        name="dkim-alias-missing",
        domain={"dkim": ({"selector": "s1", "alias": "c1.keys.{d}"},)},
        found=(("dkim-key", FAIL, "no alias"),),
    ),
    Case(
        name="dkim-alias-to-nothing",
        swap={"dkim": "s1._domainkey 300 IN CNAME c1.keys.{d}."},
        domain={"dkim": ({"selector": "s1", "alias": "c1.keys.{d}"},)},
        found=(("dkim-key", FAIL, "an alias of c1.keys.{d}, where there is no key"),),
    ),
    Case(
        name="dkim-long-chain",
        swap={"dkim": "s1._domainkey 300 IN CNAME a.keys.{d}."},
        add='a.keys 300 IN CNAME b.keys\nb.keys 300 IN CNAME c.keys\nc.keys 300 IN TXT "v=DKIM1; p={key}"',
        found=(("dkim-key", WARN, "3 aliases in a row"),),
    ),
)
OUTSIDE = {"reports.example": "ns1 300 IN A {first}\n@ 300 IN MX 10 mx\nmx 300 IN A 93.184.216.7"}
AGREED = '\n{d}._report._dmarc 300 IN TXT "v=DMARC1;"'
DMARC = (
    Case(name="dmarc-none", swap={"dmarc": None}, found=(("dmarc-record", FAIL, "no DMARC record"),)),
    Case(
        name="dmarc-two",
        add='_dmarc 300 IN TXT "v=DMARC1; p=none"',
        found=(("dmarc-record", FAIL, "2 DMARC records"),),
    ),
    Case(
        name="dmarc-is-spf",
        swap=dmarc("v=spf1 -all"),
        found=(("dmarc-record", FAIL, "'v=spf1 -all' is none"),),
    ),
    Case(
        name="dmarc-beside-other",
        add='_dmarc 300 IN TXT "hello"',
        found=(("dmarc-record", WARN, "other TXT beside it"),),
    ),
    Case(
        name="dmarc-wrong-policy",
        swap=dmarc("v=DMARC1; p=refuse; rua=mailto:dmarc@rua.{d}"),
        found=(("dmarc-record", FAIL, "not refuse"),),
    ),
    Case(
        name="dmarc-no-policy",
        swap=dmarc("v=DMARC1; rua=mailto:dmarc@rua.{d}"),
        found=(("dmarc-record", WARN, "A missing p tag"), ("dmarc-record", WARN, "p=none")),
    ),
    Case(
        name="dmarc-commas",
        swap=dmarc("v=DMARC1, p=reject, rua=mailto:dmarc@rua.{d}"),
        found=(("dmarc-record", FAIL, "is none"),),
    ),
    Case(
        name="dmarc-p-none",
        swap=dmarc("v=DMARC1; p=none; rua=mailto:dmarc@rua.{d}"),
        found=(("dmarc-record", WARN, "p=none: mail that others send"),),
    ),
    Case(
        name="dmarc-no-reports",
        swap=dmarc("v=DMARC1; p=reject"),
        found=(("dmarc-record", WARN, "no rua"),),
    ),
    Case(
        name="dmarc-pct",
        swap=dmarc("v=DMARC1; p=reject; pct=50; rua=mailto:dmarc@rua.{d}"),
        found=(("dmarc-record", WARN, "pct tag was removed"),),
    ),
    Case(
        name="dmarc-not-a-uri",
        swap=dmarc("v=DMARC1; p=reject; rua=dmarc@rua.{d}"),
        found=(("dmarc-reports", FAIL, "rua=dmarc@rua.{d}"),),
    ),
    Case(
        name="dmarc-size-and-web",
        swap=dmarc("v=DMARC1; p=reject; rua=mailto:dmarc@rua.{d}!10m,https://{d}/dmarc"),
        found=(("dmarc-reports", WARN, "size limit"), ("dmarc-reports", WARN, "rua=https://{d}/dmarc")),
    ),
    Case(
        name="dmarc-not-authorised",
        swap=dmarc("v=DMARC1; p=reject; rua=mailto:x@no-reports.example"),
        elsewhere={"no-reports.example": "ns1 300 IN A {first}\n@ 300 IN MX 10 mx"},
        found=(("dmarc-reports", FAIL, "no-reports.example does not say that it takes reports about {d}"),),
    ),
    Case(
        name="dmarc-authorised",
        swap=dmarc("v=DMARC1; p=reject; rua=mailto:x@reports.example"),
        elsewhere={name: text + AGREED for name, text in OUTSIDE.items()},
    ),
    Case(
        name="dmarc-reports-without-mx",
        swap=dmarc("v=DMARC1; p=reject; rua=mailto:dmarc@nomail.{d}"),
        add="nomail 300 IN MX 0 .",
        found=(("dmarc-reports", FAIL, "nomail.{d} takes no mail"),),
    ),
    Case(
        name="dmarc-subdomains-open",
        swap=dmarc("v=DMARC1; p=reject; sp=none; np=none; rua=mailto:dmarc@rua.{d}"),
        found=(
            ("dmarc-inherited", WARN, "sp=none under p=reject"),
            ("dmarc-inherited", WARN, "np=none under p=reject"),
        ),
    ),
    Case(
        name="dmarc-inherits-nothing-enforced",
        swap=dmarc("v=DMARC1; p=reject; sp=none; rua=mailto:dmarc@rua.{d}"),
        domain={
            "name": "news.{d}",
            "senders": (),
            "dkim": (),
            "return_paths": (),
            "mta_sts": None,
            "tracking": (),
            "receives": None,
        },
        add='news 300 IN MX 10 mx\nnews 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} -all"',
        found=(
            ("dmarc-inherited", WARN, "sp=none of {d} counts for it"),
            ("dkim-key", WARN, "no DKIM key"),
        ),
    ),
    Case(
        name="alignment-elsewhere",
        domain={"return_paths": ("rp.bounces.example",), "dkim": (), "senders": ()},
        host={"helo": False},
        elsewhere={
            "bounces.example": 'ns1 300 IN A {first}\nrp 300 IN MX 10 mx\nmx 300 IN A {ip}\nrp 300 IN TXT "v=spf1 ~all"'
        },
        found=(("dmarc-alignment", FAIL, "the return path rp.bounces.example is not aligned: DMARC fails"),),
    ),
    Case(
        name="alignment-strict",
        swap=dmarc("v=DMARC1; p=reject; aspf=s; rua=mailto:dmarc@rua.{d}"),
        found=(("dmarc-alignment", WARN, "(aspf=s): DMARC passes by the signature alone"),),
    ),
)
CASES = (*SPF, *DKIM, *DMARC)
