"""Zones with something wrong in receiving, policies, CAA, block lists; and with leftovers of a former provider."""

from tests.unit.brand_marks import LOGO
from tests.verify.case import FAIL, LOGO_AT, POLICY, UNKNOWN, WARN, Case

PARKED = {
    "parked": True,
    "receives": None,
    "senders": (),
    "return_paths": (),
    "dkim": (),
    "mta_sts": None,
    "tracking": (),
}
NO_MAIL = {"mx": "@ 300 IN MX 0 .", "sts": None, "tls": None}
SENDS_ONLY = {"receives": False, "mta_sts": None}


RECEIVING = (
    Case(
        name="mx-none",
        swap={"mx": None, "sts": None, "tls": None},
        domain={"mta_sts": None},
        found=(("mx", FAIL, "no MX"),),
    ),
    Case(
        name="mx-maybe",
        swap={"mx": None, "sts": None, "tls": None},
        domain={"mta_sts": None, "receives": None},
        found=(("mx", WARN, "no MX and no address"),),
    ),
    Case(
        name="mx-null-but-receives",
        swap=NO_MAIL,
        domain={"mta_sts": None},
        found=(("mx", FAIL, "a null MX"),),
    ),
    Case(
        name="mx-null-beside-others",
        add="@ 300 IN MX 0 .",
        found=(("mx", FAIL, "a null MX beside others"), ("mta-sts", FAIL, "does not name .")),
    ),
    Case(
        name="mx-twice",
        add="@ 300 IN MX 20 mx",
        found=(("mx", WARN, "mx.{d} at two preferences"),),
    ),
    Case(
        name="mx-is-address",
        add="@ 300 IN MX 20 {ip}.",
        found=(("mx", FAIL, "the MX {ip} is an address"), ("mta-sts", FAIL, "does not name {ip}")),
    ),
    Case(
        name="mx-private",
        add="@ 300 IN MX 20 in\nin 300 IN A 10.1.2.3",
        policy=POLICY + "mx: in.{d}\n",
        found=(("mx", FAIL, "10.1.2.3 is private"),),
    ),
    Case(name="parked-well", swap={**NO_MAIL, "spf": '@ 300 IN TXT "v=spf1 -all"'}, domain=PARKED, host=None),
    Case(
        name="parked-badly",
        swap={
            "sts": None,
            "tls": None,
            "spf": '@ 300 IN TXT "v=spf1 mx -all"',
            "dmarc": '_dmarc 300 IN TXT "v=DMARC1; p=quarantine; rua=mailto:dmarc@rua.{d}"',
        },
        domain=PARKED,
        host=None,
        found=(
            ("null-mx", WARN, "MX 10 mx.{d}"),
            ("spf-record", FAIL, "v=spf1 mx -all"),
            ("dmarc-record", WARN, "p=quarantine"),
        ),
    ),
    Case(name="sends-only", swap=NO_MAIL, domain=SENDS_ONLY),
    Case(
        name="sends-only-silently",
        swap={"mx": None, "sts": None, "tls": None},
        domain=SENDS_ONLY,
        found=(("null-mx", WARN, "no MX: senders try for days"),),
    ),
    Case(
        name="bounces-lost",
        swap={"rp": 'rp 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} -all"'},
        found=(("return-path", FAIL, "neither MX nor address"),),
    ),
    Case(
        name="bounces-refused",
        swap={"rp": 'rp 300 IN MX 0 .\nrp 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} -all"'},
        found=(("return-path", FAIL, "a null MX"),),
    ),
    Case(
        name="tracking-lost",
        swap={"track": None},
        found=(("tracking-names", FAIL, "no address"),),
    ),
)
POLICIES = (
    Case(name="sts-no-record", swap={"sts": "mta-sts 300 IN A {ip}"}, found=(("mta-sts", FAIL, "no record"),)),
    Case(
        name="sts-two-records",
        add='_mta-sts 300 IN TXT "v=STSv1; id=2"',
        found=(("mta-sts", FAIL, "2 records"),),
    ),
    Case(
        name="sts-bad-id",
        swap={"sts": '_mta-sts 300 IN TXT "v=STSv1; id=2026-11-29"\nmta-sts 300 IN A {ip}'},
        found=(("mta-sts", FAIL, "1-32 letters or digits"), ("mta-sts-id", FAIL, "id 2026-11-29")),
    ),
    Case(name="sts-no-policy", policy=404, found=(("mta-sts", FAIL, "HTTP status 404"),)),
    Case(name="sts-redirect", policy=301, found=(("mta-sts", FAIL, "HTTP status 301"),)),
    Case(
        name="sts-no-address",
        swap={"sts": '_mta-sts 300 IN TXT "v=STSv1; id={id}"'},
        found=(("mta-sts", FAIL, "mta-sts.{d} has no address"),),
    ),
    Case(name="sts-untrusted", untrusted=True, found=(("mta-sts", FAIL, "the certificate of mta-sts.{d}"),)),
    Case(
        name="sts-web-page",
        content_type="text/html",
        found=(("mta-sts", FAIL, "text/html instead of text/plain"),),
    ),
    Case(
        name="sts-endless",
        policy=POLICY + "comment: x\n" * 6000,
        found=(("mta-sts", FAIL, "more than 65536 bytes"),),
    ),
    Case(
        name="sts-policy-broken",
        policy="version: STSv1\nmode: always\nmx: mx.{d}\nmax_age: 604800\n",
        found=(("mta-sts", FAIL, "Invalid mode: always"),),
    ),
    Case(
        name="sts-forgets-mx",
        add="@ 300 IN MX 20 in\nin 300 IN A {ip}",
        found=(("mta-sts", FAIL, "the policy does not name in.{d}: senders refuse"),),
    ),
    Case(
        name="sts-testing-forgets-mx",
        policy="version: STSv1\nmode: testing\nmx: *.other.example\nmax_age: 604800\n",
        found=(("mta-sts", FAIL, "mode testing"), ("mta-sts", WARN, "the policy does not name mx.{d}")),
    ),
    Case(
        name="sts-short-age",
        policy=POLICY.replace("604800", "3600"),
        found=(("mta-sts", WARN, "max_age 3600"),),
    ),
    Case(
        name="sts-unknown-field",
        policy=POLICY + "colour: blue\n",
        found=(("mta-sts", WARN, "Unknown key colour"),),
    ),
    Case(
        name="sts-old-id",
        swap={"sts": '_mta-sts 300 IN TXT "v=STSv1; id=20250101"\nmta-sts 300 IN A {ip}'},
        found=(("mta-sts-id", FAIL, "id 20250101"),),
    ),
    Case(
        name="sts-without-reports",
        swap={"tls": None},
        found=(("tls-rpt", WARN, "without TLS reports"),),
    ),
    Case(
        name="tls-rpt-missing",
        swap={"tls": None},
        domain={"tls_rpt": "v=TLSRPTv1; rua=mailto:tls@{d}"},
        found=(("tls-rpt", FAIL, "no record"),),
    ),
    Case(
        name="tls-rpt-without-rua",
        swap={"tls": '_smtp._tls 300 IN TXT "v=TLSRPTv1; id=1"'},
        found=(("tls-rpt", FAIL, "missing the required rua"),),
    ),
    Case(
        name="tls-rpt-version",
        swap={"tls": '_smtp._tls 300 IN TXT "v=TLSRPT1; rua=mailto:tls@{d}"'},
        found=(("tls-rpt", FAIL, "Error: Expected"),),
    ),
    Case(
        name="sts-version",
        swap={"sts": '_mta-sts 300 IN TXT "v=STSv2; id={id}"\nmta-sts 300 IN A {ip}'},
        found=(("mta-sts", FAIL, "Error: Expected"),),
    ),
    Case(
        name="texts-for-all-names",
        swap={"tls": None, "sts": None},
        add='*._tls 300 IN TXT "v=spf1 -all"',
        domain={"mta_sts": None},
    ),
    Case(
        name="tls-rpt-two",
        add='_smtp._tls 300 IN TXT "v=TLSRPTv1; rua=mailto:x@{d}"',
        found=(("tls-rpt", FAIL, "2 records"),),
    ),
    Case(
        name="bimi",
        add=f'logo 300 IN A {{ip}}\ndefault._bimi 300 IN TXT "v=BIMI1; l={LOGO_AT}; a="',
    ),
    Case(
        name="bimi-plain-http",
        add='default._bimi 300 IN TXT "v=BIMI1; l=http://{d}/logo.svg"',
        found=(("bimi", FAIL, "l=http://{d}/logo.svg"),),
    ),
    Case(
        name="bimi-without-logo",
        add='default._bimi 300 IN TXT "v=BIMI1"',
        domain={"bimi": f"v=BIMI1; l={LOGO_AT}"},
        found=(("bimi", FAIL, "no record with version and logo: v=BIMI1"),),
    ),
    Case(
        name="bimi-not-enforced",
        swap={"dmarc": '_dmarc 300 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@rua.{d}"'},
        add=f'logo 300 IN A {{ip}}\ndefault._bimi 300 IN TXT "v=BIMI1; l={LOGO_AT}"',
        found=(("bimi", WARN, "DMARC is not enforced"), ("dmarc-record", WARN, "p=none")),
    ),
    Case(
        name="bimi-logo-with-script",
        add=f'logo 300 IN A {{ip}}\ndefault._bimi 300 IN TXT "v=BIMI1; l={LOGO_AT}"',
        logo=LOGO.replace("</svg>", "<script/></svg>"),
        found=(("bimi-logo", FAIL, "the logo: <script>"),),
    ),
    Case(
        name="bimi-logo-nowhere",
        add=f'default._bimi 300 IN TXT "v=BIMI1; l={LOGO_AT}"',
        found=(("bimi-logo", FAIL, "logo.{d} has no address"),),
    ),
    Case(
        name="bimi-certificate-is-none",
        add=f'logo 300 IN A {{ip}}\ndefault._bimi 300 IN TXT "v=BIMI1; l={LOGO_AT}; a={LOGO_AT}"',
        found=(("bimi-certificate", FAIL, "the mark certificate: no certificates"),),
    ),
    Case(
        name="caa-other-authority",
        swap={"caa": '@ 300 IN CAA 0 issue "sectigo.com"'},
        host={"ports": ()},
        found=(
            ("caa", FAIL, "{d} lets only sectigo.com issue, not letsencrypt.org"),
            ("caa", FAIL, "{d} lets only sectigo.com issue"),
        ),
    ),
    Case(
        name="caa-nobody",
        add='mx 300 IN CAA 0 issue ";"',
        found=(("caa", FAIL, "mx.{d} lets only nobody issue, not letsencrypt.org"),),
        domain={"tracking": ()},
    ),
    Case(
        name="caa-flags",
        swap={"caa": '@ 300 IN CAA 1 issue "letsencrypt.org"'},
        domain={"tracking": (), "mta_sts": None},
        found=(("caa", WARN, "flags 1"),),
    ),
    Case(
        name="caa-unknown-tags",
        add='@ 300 IN CAA 128 tbs "Unknown"\n@ 300 IN CAA 0 isue "letsencrypt.org"',
        domain={"tracking": (), "mta_sts": None},
        found=(("caa", FAIL, "the unknown tag tbs, marked critical"), ("caa", WARN, "the unknown tag isue")),
    ),
)
ZEN, DBL = "zen.spamhaus.org", "dbl.spamhaus.org"
OTHERS = (
    Case(
        name="former-provider",
        swap={
            "spf": '@ 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} include:sendgrid.net -all"',
            "mx": "@ 300 IN MX 10 mx\n@ 300 IN MX 20 mx1.emailsrvr.com.",
        },
        add='google._domainkey 300 IN TXT "v=DKIM1; p={key}"',
        domain={"mx": ((10, "mx.{d}"),), "spf": "v=spf1 ip4:{ip} ip6:{ip6} -all"},
        policy=POLICY + "mx: *.emailsrvr.com\n",
        elsewhere={
            "sendgrid.net": '@ 300 IN TXT "v=spf1 ip4:167.89.0.0/17 ~all"',
            "emailsrvr.com": "mx1 300 IN A 93.184.216.9",
        },
        found=(
            ("former-provider", WARN, "SendGrid in SPF (sendgrid.net)"),
            ("former-provider", WARN, "Rackspace Email in MX (mx1.emailsrvr.com)"),
            ("former-provider", WARN, "a key at google._domainkey.{d}, as Google Workspace has it"),
            ("published", FAIL, "v=spf1 ip4:{ip} ip6:{ip6} include:sendgrid.net -all"),
            ("published", FAIL, "10 mx.{d}, 20 mx1.emailsrvr.com"),
        ),
    ),
    Case(
        name="former-gateway",
        swap={
            "spf": '@ 300 IN TXT "v=spf1 ip4:{ip} ip6:{ip6} a:dispatch-us.ppe-hosted.com '
            'include:za._netblocks.mimecast.com -all"'
        },
        domain={"spf": "v=spf1 ip4:{ip} ip6:{ip6} -all"},
        elsewhere={
            "ppe-hosted.com": "dispatch-us 300 IN A 93.184.216.9",
            "mimecast.com": 'za._netblocks 300 IN TXT "v=spf1 ip4:93.184.217.0/24 ~all"',
        },
        found=(
            ("former-provider", WARN, "Proofpoint in SPF (dispatch-us.ppe-hosted.com)"),
            ("former-provider", WARN, "Mimecast in SPF (za._netblocks.mimecast.com)"),
            ("published", FAIL, "a:dispatch-us.ppe-hosted.com include:za._netblocks.mimecast.com -all"),
        ),
    ),
    Case(
        name="listed",
        elsewhere={
            f"{{n}}.184.93.{ZEN}": "10 300 IN A 127.0.0.2\n10 300 IN A 127.0.0.4",
            f"{{d}}.{DBL}": "@ 300 IN A 127.0.1.2",
        },
        found=(
            ("block-list-addresses", FAIL, f"listed by {ZEN}: SBL: source of spam, XBL: hijacked or infected"),
            ("block-list-domains", FAIL, f"listed by {DBL}: a domain of low reputation: spam"),
        ),
    ),
    Case(
        name="lists-refuse",
        elsewhere={f"{{n}}.184.93.{ZEN}": "10 300 IN A 127.255.255.254", f"{{d}}.{DBL}": "@ 300 IN A 127.255.255.255"},
        found=(
            ("block-list-addresses", UNKNOWN, f"{ZEN} did not say: it was asked through a public resolver"),
            ("block-list-domains", UNKNOWN, f"{DBL} did not say: it was asked too often"),
        ),
    ),
    Case(
        name="lists-refuse-anew",
        elsewhere={f"{{n}}.184.93.{ZEN}": "10 300 IN A 127.255.255.250"},
        found=(("block-list-addresses", UNKNOWN, f"{ZEN} did not say: 127.255.255.250, a refusal"),),
    ),
    Case(
        name="list-is-gone",
        elsewhere={f"{{n}}.184.93.{ZEN}": "10 300 IN A 93.184.216.80"},
        found=(("block-list-addresses", UNKNOWN, "93.184.216.80, which is no answer of a block list"),),
    ),
)
CASES = (*RECEIVING, *POLICIES, *OTHERS)
