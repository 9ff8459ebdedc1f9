"""What an SMTP session with each listener shows: its names, STARTTLS, and when it lets people log in."""

from collections.abc import Iterator

from mailstack.verify.context import Context
from mailstack.verify.listeners import MX, SUBMISSION, each, endpoints, no_endpoint, our_smtp
from mailstack.verify.model import Finding, check, fail, ok, unknown, warn
from mailstack.verify.smtp import GO_ON, IMPLICIT, STARTTLS, Session, session

__all__ = ["auth_after_tls", "greeting", "starttls"]

LOGGED_IN = 235
# How Postal greets (app/lib/smtp_server/client.rb).
POSTAL = " ESMTP Postal/"


@check(
    number=11,
    name="smtp-greeting",
    group="B",
    title="SMTP greeting and EHLO reply give the host's name",
    source="RFC 5321 §4.1.1.1, §4.3.1",
)
def greeting(context: Context) -> Iterator[Finding]:
    """Compare the names a listener gives itself with the name it is looked up by."""
    places = our_smtp(context)
    found = [_greeting(one) for one in each(places, lambda place: session(context, place)) if one.greeting]
    yield from found
    yield from no_endpoint(context, places, found)


def _greeting(seen: Session) -> Finding:
    place = seen.endpoint
    said = seen.greeting.split()[0].lower().rstrip(".")
    good = {place.host, place.certificate_name}
    if said in good and seen.name.rstrip(".") in good:
        return ok(str(place), f"greets as {said}, answers EHLO as {seen.name}")
    return warn(
        str(place),
        f"greets as {said}, answers EHLO as {seen.name}",
        expected=f"{place.host} in both; spam filters compare them with the PTR record",
        fix="set the server's name: myhostname in Postfix, postal.smtp_hostname for Postal",
    )


@check(
    number=25,
    name="starttls",
    group="E",
    title="Mail ports answer, and with TLS",
    source="RFC 3207, RFC 8314 §3",
    uses="smtplib, ssl",
)
def starttls(context: Context) -> Iterator[Finding]:
    """Hold a session with every listener: is it there, does it offer TLS, does a handshake succeed?"""
    places = tuple(place for place in endpoints(context) if place.protocol == "smtp")
    found = [
        finding
        for seen in each(places, lambda place: session(context, place))
        if (finding := _starttls(seen)) is not None
    ]
    yield from found
    yield from no_endpoint(context, places, found)


def _starttls(seen: Session) -> Finding | None:
    place, subject = seen.endpoint, str(seen.endpoint)
    if seen.unreached is not None:
        if not place.declared:
            return None
        if not seen.unreached.refused or not place.ours:
            return unknown(subject, str(seen.unreached))
        return fail(
            subject,
            str(seen.unreached),
            expected="the port is open",
            fix="start the service (systemctl status, docker ps on the host), and open the port in the firewall",
        )
    if seen.tls is not None and not seen.tls.distrust:
        return ok(subject, f"{seen.tls.version}, {seen.tls.cipher}")
    if seen.tls is not None:
        return ok(subject, f"{seen.tls.version}, {seen.tls.cipher}; see certificate: {seen.tls.distrust}")
    if place.tls not in {IMPLICIT, STARTTLS}:
        return ok(subject, "in clear, as declared")
    if place.ours and not place.declared and place.role == MX:
        # A relay for one's own networks: a host without a firewall of ours shows it to everybody.
        return warn(
            subject,
            f"answers from outside: {seen.tls_failure}",
            expected="nothing, where no domain has this host as MX: applications use it from within",
            fix=f"let the firewall take port {place.port} from `relay.client_networks` only",
        )
    return (fail if place.ours else warn)(
        subject,
        seen.tls_failure,
        expected="TLS, or mail and passwords travel in clear",
        fix="give the server a certificate and switch TLS on: smtpd_tls_security_level=may in Postfix, "
        "smtp_server.tls_enabled in Postal; look for the handshake's error in its log",
    )


@check(
    number=30,
    name="auth-after-tls",
    group="E",
    title="Passwords are taken within TLS only",
    source="RFC 4954 §4, RFC 8314 §3.3",
    uses="smtplib",
)
def auth_after_tls(context: Context) -> Iterator[Finding]:
    """Ask to log in before TLS, and read what is offered within it. No password is sent."""
    places = our_smtp(context)
    found = [_auth(one) for one in each(places, lambda place: session(context, place)) if one.greeting]
    yield from found
    yield from no_endpoint(context, places, found)


def _auth(seen: Session) -> Finding:
    subject = str(seen.endpoint)
    code, text = seen.plain_auth or (0, "")
    if "auth" in seen.offers or code in {GO_ON, LOGGED_IN}:
        offered = "AUTH is offered before TLS" if "auth" in seen.offers else f"AUTH before TLS is answered with {code}"
        evidence = [f"AUTH PLAIN: {code} {text}"] if code else []
        expected = "AUTH within TLS only: anybody on the way can read a password that is sent in clear"
        if POSTAL in seen.greeting:
            return warn(
                subject,
                f"{offered}, as every Postal does",
                *evidence,
                expected=expected,
                fix="Postal has no setting for it (postalserver/postal#3617): have every application ask for TLS and "
                "check the certificate, or log in at the relay's `relay.submission`",
            )
        return fail(
            subject,
            offered,
            *evidence,
            expected=expected,
            fix="smtpd_tls_auth_only=yes in Postfix; a server that cannot do so must not be open to the Internet",
        )
    before = f"before TLS: {code} {text}" if code else ""
    if "auth" in seen.offers_secure:
        return ok(subject, f"within TLS: AUTH {seen.offers_secure['auth']}".strip(), *([before] if before else []))
    if seen.endpoint.role == SUBMISSION:
        return fail(
            subject,
            "AUTH is not offered within TLS" if seen.tls else f"there is no TLS: {seen.tls_failure}",
            *([before] if before else []),
            expected="AUTH within TLS: this port is for clients that log in",
            fix="switch SASL on: smtpd_sasl_auth_enable=yes in Postfix; see also the check starttls",
        )
    return ok(subject, "AUTH is not offered", *([before] if before else []))
