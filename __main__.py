"""The mail stack: applications hand mail to Postal, Postal to the relay, the relay to Google Workspace.

DNS says who may send, Caddy has the certificates.
"""

import pulumi

from components.caddy_tls import CaddyTls, CaddyTlsArgs
from components.config import read_settings
from components.dns_records import DnsRecords, DnsRecordsArgs
from components.postal_host import PostalHost, PostalHostArgs
from components.postfix_relay import PostfixRelay, PostfixRelayArgs
from components.remote_host import RemoteHost, RemoteHostArgs
from components.workspace_relay_rule import WorkspaceRelayRule, WorkspaceRelayRuleArgs

settings = read_settings()

hosts = {name: RemoteHost(name, RemoteHostArgs.of(settings, name)) for name in settings.hosts}
dns = DnsRecords("dns", DnsRecordsArgs.of(settings, hosts))
needed: list[pulumi.Resource] = [dns]

if settings.relay.placement == "vm":
    relay = PostfixRelay("relay", PostfixRelayArgs.of(settings, hosts[settings.relay.host]))
    needed.append(relay)
    pulumi.export("smtp_host", relay.smtp_host)
    pulumi.export("smtp_port", relay.smtp_port)
    pulumi.export("relay_hostname", relay.hostname)
    pulumi.export("sender_domains", relay.sender_domains)

if settings.caddy is not None:
    caddy = CaddyTls("caddy", CaddyTlsArgs.of(settings, hosts, after=[dns]))
    needed.append(caddy)
    pulumi.export("certificates", caddy.certificates)

if settings.postal is not None:
    postal = PostalHost("postal", PostalHostArgs.of(settings, hosts, after=needed))
    pulumi.export("mail_servers", postal.mail_servers)
    pulumi.export("postal_url", postal.web_url)
    pulumi.export("postal_health", postal.health)
    pulumi.export("postal_domains", postal.domains)

if settings.relay_rule is not None:
    rule = WorkspaceRelayRule("relay-rule", WorkspaceRelayRuleArgs.of(settings, hosts[settings.relay.host]))
    pulumi.export("relay_rule_console_steps", rule.console_steps)
    pulumi.export("relay_rule_probe", rule.probe)

pulumi.export("contract_version", 1)
pulumi.export("dns_zones", dns.zones)
