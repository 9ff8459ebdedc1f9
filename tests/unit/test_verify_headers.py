"""What Received and Authentication-Results say, as the big servers write them."""

import email

import pytest

from mailstack.verify.authentication import aligned, read
from mailstack.verify.hops import hops

SENDER = "app@example.com"
GMAIL = """Received: from mx.example.com (mx.example.com. [198.51.100.7])
        by mx.google.com with ESMTPS id d2e1a72fcca58-7
        for <someone@example.org>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        Mon, 02 Nov 2026 10:00:05 -0700 (PDT)
"""
POSTFIX = """Received: from app.example.com (app.example.com [203.0.113.9])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
\t key-exchange X25519 server-signature ECDSA (P-256))
\t(No client certificate requested)
\tby mx.example.com (Postfix) with ESMTPSA id 4F2B1
\tfor <someone@example.org>; Mon, 2 Nov 2026 17:00:02 +0000 (UTC)
"""
RESULTS = """Authentication-Results: mx.google.com;
       dkim=pass header.i=@example.com header.s=one header.b=AbCdEf;
       spf=pass (google.com: domain of r@rp.example.com designates 198.51.100.7 as permitted sender)
       smtp.mailfrom=r@rp.example.com;
       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com
"""


@pytest.mark.parametrize(
    ("header", "secure", "words"),
    [
        (POSTFIX, True, "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        (GMAIL, True, "TLS1_3 TLS_AES_256_GCM_SHA384"),
        ("from a (a [192.0.2.1]) by b with ESMTPS id 1; Mon, 2 Nov 2026 17:00:02 +0000", True, "ESMTPS"),
        ("from a (a [8.8.8.8]) by b with UTF8SMTPSA id 1; Mon, 2 Nov 2026 17:00:02 +0000", True, "UTF8SMTPSA"),
        ("from a (a [8.8.8.8]) by b with LMTPS id 1; no date", True, "LMTPS"),
        ("from a (a [8.8.8.8]) by b with ESMTP id 1; Mon, 2 Nov 2026 17:00:02 +0000", False, "ESMTP"),
        ("from a (a [8.8.8.8]) by b with ESMTPA id 1; Mon, 2 Nov 2026 17:00:02 +0000", False, "ESMTPA"),
        ("from a (localhost [127.0.0.1]) by b with ESMTP id 1; Mon, 2 Nov 2026 17:00:02 +0000", None, "ESMTP"),
        ("from a (a [IPv6:::1]) by b with ESMTP id 1; Mon, 2 Nov 2026 17:00:02 +0000", None, "ESMTP"),
        ("by 2002:a17:902:b58f with SMTP id 15csp1; Mon, 02 Nov 2026 10:00:06 -0800 (PST)", None, "the same host"),
        ("from api (a [8.8.8.8]) by postal.example.com with HTTP; Mon, 02 Nov 2026 10:00:06 +0000", None, "HTTP"),
        ("by mx.example.com (Postfix, from userid 0) id 1; Mon, 02 Nov 2026 10:00:06 +0000", None, "no protocol"),
        ("(qmail 1 invoked by uid 0); 2 Nov 2026 10:00:06 -0000", None, "no protocol"),
    ],
)
def test_a_received_header_says_whether_tls_was_between(header: str, secure: bool | None, words: str) -> None:
    value = str(email.message_from_string(header)["Received"]) if header.startswith("Received") else header
    (hop,) = hops([value])
    assert hop.secure is secure
    assert words in str(hop)


def test_hops_are_told_in_the_order_of_time() -> None:
    newest = "from b (b [8.8.8.8]) by c with ESMTPS; Mon, 2 Nov 2026 17:00:09 +0000"
    first, second, third = hops([newest, "from a by b with ESMTPS; no date", "by a; Mon, 2 Nov 2026 17:00:02 +0000"])
    assert (first.receiver, second.receiver, third.receiver) == ("a", "b", "c")
    assert (first.seconds, second.seconds, third.seconds) == (None, None, 7.0)


def test_only_the_results_of_the_receiver_count() -> None:
    forged = RESULTS.replace("mx.google.com", "mx.forged.example").replace("spf=pass", "spf=fail")
    raw = (RESULTS + forged + f"From: {SENDER}\n\n").encode()
    assert read(raw, None).results["spf"][0][0] == "pass"
    assert read(raw, "mx.forged.example").results["spf"][0][0] == "fail"
    assert read(raw, "mx.example.org").authserv_id == ""
    assert read(b"Authentication-Results: \xff;;=\nFrom: x\n\n", None).authserv_id == ""


def test_alignment_is_of_organizational_domains() -> None:
    assert aligned("bounces.example.co.uk", "example.co.uk")
    assert not aligned("example.co.uk", "another.co.uk")
    assert not aligned("", "")
