"""The mail stack: applications hand mail to Postal, Postal to the relay, the relay to Google Workspace.

DNS says who may send, Caddy has the certificates.
"""

import pulumi

from components.caddy_tls import CaddyTls, CaddyTlsArgs
from components.config import read_plan
from components.dns_records import DnsRecords, DnsRecordsArgs
from components.kubernetes_cluster import KubernetesCluster, KubernetesClusterArgs
from components.outputs import export_plan, export_postal
from components.postal_host import PostalHost, PostalHostArgs
from components.postfix_relay import PostfixRelay, PostfixRelayArgs
from components.remote_host import RemoteHost
from components.verification import verify_afterwards
from components.workspace_relay_rule import WorkspaceRelayRule, WorkspaceRelayRuleArgs
from mailstack.plan.operations import operations_text
from mailstack.plan.verification import target_text

plan = read_plan()

hosts = {name: RemoteHost(name, host) for name, host in plan.hosts.items()}
dns = DnsRecords("dns", DnsRecordsArgs(plan=plan.dns, hosts=hosts))
ready: list[pulumi.Resource] = [command for host in hosts.values() for command in host.ready]
rest: list[pulumi.Resource] = []

kubeconfig: pulumi.Output[str] | None = None
if plan.cluster is not None:
    cluster = KubernetesCluster("cluster", KubernetesClusterArgs(plan=plan.cluster, hosts=hosts))
    kubeconfig = cluster.kubeconfig
    rest.append(cluster.command)
    pulumi.export("kubeconfig", kubeconfig)
    pulumi.export("kubernetes_version", cluster.version)

if plan.caddy is not None:
    caddy = CaddyTls("caddy", CaddyTlsArgs(plan=plan.caddy, hosts=hosts, after=dns.names))
    ready.append(caddy.command)
    pulumi.export("certificates", caddy.certificates)

if plan.relay.placed:
    after = ready if plan.relay.after_caddy else []
    relay = PostfixRelay("relay", PostfixRelayArgs(plan=plan.relay, hosts=hosts, after=after, kubeconfig=kubeconfig))
    ready += relay.ready
    dns.publish_clients(after=relay.ready)
    pulumi.export("smtp_host", relay.smtp_host)
    pulumi.export("smtp_hosts", relay.smtp_hosts)
    pulumi.export("smtp_port", relay.smtp_port)
    pulumi.export("relay_hostname", relay.hostname)
    pulumi.export("sender_domains", relay.sender_domains)
    pulumi.export("smtp_environment", relay.smtp_environment)
    if relay.compose_snippet is not None:
        pulumi.export("compose_snippet", relay.compose_snippet)

if plan.postal is not None:
    before = [*dns.names, *ready]
    args = PostalHostArgs(plan=plan.postal, hosts=hosts, after=before, kubeconfig=kubeconfig)
    postal = PostalHost("postal", args)
    ready += postal.ready
    pulumi.export("mail_servers", postal.mail_servers)
    pulumi.export("postal_url", postal.web_url)
    pulumi.export("postal_health", postal.health)
    pulumi.export("postal_domains", postal.domains)
    export_postal(plan, postal)

if plan.relay_rule is not None:
    rule = WorkspaceRelayRule("relay-rule", WorkspaceRelayRuleArgs(plan=plan.relay_rule, hosts=hosts))
    rest += rule.commands
    pulumi.export("relay_rule_console_steps", rule.console_steps)
    if rule.probe is not None:
        pulumi.export("relay_rule_probe", rule.probe)
        pulumi.export("relay_rule_probes", rule.probes)

rest += dns.publish_mail(after=ready)
verify_afterwards(plan, after=[*ready, *dns.names, *rest])
export_plan(plan)
pulumi.export("dns_zones", dns.zones)
pulumi.export("verify", target_text(plan))
pulumi.export("operations", operations_text(plan))
