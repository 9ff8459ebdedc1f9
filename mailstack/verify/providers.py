"""What mail providers leave in DNS: names in SPF, DKIM selectors, exchangers.

Compared in 2026-11 with set-up pages and with zones that are published as code; what was found in neither is marked
"assumed".
"""

from dataclasses import dataclass

__all__ = ["PROVIDERS", "Provider"]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """``spf`` are names, or the ends of names, behind include:, a: or redirect=. ``selectors`` are those of DKIM,
    ``exchangers`` the ends of MX hosts (all in lower case), ``source`` is the provider's page.
    """

    name: str
    source: str
    spf: tuple[str, ...] = ()
    selectors: tuple[str, ...] = ()
    exchangers: tuple[str, ...] = ()


PROVIDERS = (
    Provider(
        name="Google Workspace",
        source="support.google.com/a/answer/33786, /174125, /180504",
        spf=("_spf.google.com",),
        selectors=("google",),
        exchangers=("google.com", "googlemail.com"),
    ),
    Provider(
        name="Microsoft 365",
        source="learn.microsoft.com/microsoft-365/enterprise/external-domain-name-system-records",
        spf=("spf.protection.outlook.com",),
        selectors=("selector1", "selector2"),
        exchangers=("mail.protection.outlook.com", "mx.microsoft"),
    ),
    Provider(
        name="Amazon SES",
        source="docs.aws.amazon.com/ses/latest/dg/send-email-authentication-spf.html",
        spf=("amazonses.com",),
        exchangers=("amazonses.com", "amazonaws.com", "awsapps.com"),  # the third is assumed
    ),
    Provider(
        name="SendGrid",
        source="docs.sendgrid.com/ui/account-and-settings/how-to-set-up-domain-authentication",
        spf=("sendgrid.net",),
        selectors=("s1", "s2", "m1", "smtpapi"),
    ),
    Provider(
        name="Mailgun",
        source="documentation.mailgun.com/docs/mailgun/user-manual/domains/domains-verify",
        spf=("mailgun.org",),
        # "smtp" and "mx" are assumed.
        selectors=("mailo", "krs", "pic", "k1", "smtp", "mx"),
        exchangers=("mailgun.org",),
    ),
    Provider(
        name="Mailchimp and Mandrill",
        source="mailchimp.com/help/set-up-email-domain-authentication",
        spf=("servers.mcsv.net", "spf.mandrillapp.com"),
        selectors=("k2", "k3", "mandrill", "mte1", "mte2"),
        exchangers=("mandrillapp.com",),  # assumed
    ),
    Provider(
        name="Postmark",
        source="postmarkapp.com/support/article/1092-how-do-i-set-up-spf-for-postmark",
        spf=("spf.mtasv.net",),
        selectors=("pm",),  # newer ones begin with the day they were made
        exchangers=("inbound.postmarkapp.com",),  # assumed
    ),
    Provider(
        name="Brevo (Sendinblue)",
        source="help.brevo.com: authenticate your domain",
        spf=("spf.sendinblue.com", "spf.brevo.com"),
        selectors=("mail", "brevo1", "brevo2"),  # "mail" is assumed
    ),
    Provider(
        name="SparkPost",
        source="support.sparkpost.com: SPF and DKIM",
        spf=("sparkpostmail.com",),
    ),
    Provider(
        name="Zoho Mail",
        source="www.zoho.com/mail/help/adminconsole/spf-configuration.html",
        spf=("zoho.com", "zoho.eu", "zohomail.com", "zohomail.eu", "one.zoho.com"),
        selectors=("zmail", "zoho"),
        exchangers=("zoho.com", "zoho.eu", "zohomail.com", "zohomail.eu"),
    ),
    Provider(
        name="Fastmail",
        source="www.fastmail.help/hc/en-us/articles/360060591153",
        spf=("spf.messagingengine.com",),
        selectors=("fm1", "fm2", "fm3", "mesmtp"),
        exchangers=("messagingengine.com",),
    ),
    Provider(
        name="Proton Mail",
        source="proton.me/support/anti-spoofing-custom-domain",
        spf=("_spf.protonmail.ch",),
        selectors=("protonmail", "protonmail2", "protonmail3"),
        exchangers=("protonmail.ch",),
    ),
    Provider(
        name="Mimecast",
        source="community.mimecast.com: outbound SPF",
        spf=("_netblocks.mimecast.com",),  # a region stands before it
        exchangers=("mimecast.com",),
    ),
    Provider(
        name="Proofpoint",
        source="help.proofpoint.com: Proofpoint Essentials, SPF",
        # Essentials: a:dispatch-us.ppe-hosted.com, include:_spf-us.ppe-hosted.com; else a name for each customer.
        spf=("pphosted.com", "ppe-hosted.com"),
        exchangers=("pphosted.com", "ppe-hosted.com"),
    ),
    Provider(
        name="Mailjet",
        source="documentation.mailjet.com: authenticating domains with SPF and DKIM",
        spf=("spf.mailjet.com",),
        selectors=("mailjet",),
    ),
    Provider(
        name="HubSpot",
        source="knowledge.hubspot.com: connect your email sending domain",
        spf=("hubspotemail.net",),
        selectors=("hs1", "hs2"),  # newer ones end with the account's number
    ),
    Provider(
        name="Zendesk",
        source="support.zendesk.com/hc/en-us/articles/4408832543770",
        spf=("mail.zendesk.com", "smtp.zendesk.com"),
        selectors=("zendesk1", "zendesk2"),
    ),
    Provider(
        name="Salesforce",
        source="help.salesforce.com: SPF record for Salesforce",
        spf=("_spf.salesforce.com",),
    ),
    Provider(
        name="IONOS",
        source="www.ionos.com/help/domains/configuring-mail-servers-and-other-related-records",
        spf=("_spf.perfora.net", "_spf.kundenserver.de", "_spf-eu.ionos.com", "_spf-us.ionos.com"),
        selectors=("s1-ionos", "s2-ionos", "s42582890"),
        exchangers=(
            *("ionos.com", "ionos.de", "ionos.es", "ionos.fr", "ionos.it", "ionos.co.uk"),
            *("kundenserver.de", "1and1.com"),  # assumed
        ),
    ),
    Provider(
        name="OVH",
        source="help.ovhcloud.com: SPF record",
        spf=("mx.ovh.com", "mx.ovh.net"),  # the second is assumed
        exchangers=("ovh.net", "ovh.com"),
    ),
    Provider(
        name="GoDaddy",
        source="www.godaddy.com/help: add an SPF record",
        spf=("secureserver.net",),
        exchangers=("secureserver.net",),
    ),
    Provider(
        name="Rackspace Email",
        source="docs.rackspace.com: set up SPF",
        spf=("emailsrvr.com",),
        exchangers=("emailsrvr.com",),
    ),
    Provider(
        name="Cloudflare Email Routing",
        source="developers.cloudflare.com/email-routing/postmaster",
        spf=("_spf.mx.cloudflare.net",),
        selectors=("cf2024-1",),
        exchangers=("mx.cloudflare.net",),
    ),
)
