"""The mail stack: applications hand mail to the relay, the relay to Google Workspace; DNS says who may send."""

import pulumi

from components.config import read_settings
from components.dns_records import DnsRecords, DnsRecordsArgs
from components.postfix_relay import PostfixRelay, PostfixRelayArgs
from components.remote_host import RemoteHost, RemoteHostArgs
from components.workspace_relay_rule import WorkspaceRelayRule, WorkspaceRelayRuleArgs

settings = read_settings()

hosts = {name: RemoteHost(name, RemoteHostArgs.of(settings, name)) for name in settings.hosts}
relay = PostfixRelay("relay", PostfixRelayArgs.of(settings, hosts[settings.relay.host]))
dns = DnsRecords("dns", DnsRecordsArgs.of(settings, hosts))

if settings.relay_rule is not None:
    rule = WorkspaceRelayRule("relay-rule", WorkspaceRelayRuleArgs.of(settings, hosts[settings.relay.host]))
    pulumi.export("relay_rule_console_steps", rule.console_steps)
    pulumi.export("relay_rule_probe", rule.probe)

pulumi.export("contract_version", 1)
pulumi.export("smtp_host", relay.smtp_host)
pulumi.export("smtp_port", relay.smtp_port)
pulumi.export("relay_hostname", relay.hostname)
pulumi.export("sender_domains", relay.sender_domains)
pulumi.export("dns_zones", dns.zones)
