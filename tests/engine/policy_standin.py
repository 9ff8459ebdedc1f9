"""A policy pack with two rules, behind the real analyzer protocol: what the engine prints of policies is then its own.

The engine starts a file that ``--policy-pack`` names as it starts a plugin (``analyzer_plugin.go`` of Pulumi 3.274).
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import analyzer_pb2 as messages
from pulumi.runtime.proto import analyzer_pb2_grpc, plugin_pb2

__all__ = ["ADVISORY", "MANDATORY", "PACK"]

PACK, VERSION = "mailstack-standin", "1.0.0"
MANDATORY, ADVISORY = "dmarc-rejects", "ttl-short"


class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    """Answers what the engine asks of a pack."""

    def GetAnalyzerInfo(self, request: Any, context: Any) -> messages.AnalyzerInfo:  # noqa: N802 - the protocol's names
        policies = [
            messages.PolicyInfo(name=MANDATORY, description="DMARC rejects", enforcementLevel=messages.MANDATORY),
            messages.PolicyInfo(name=ADVISORY, description="a TTL is short", enforcementLevel=messages.ADVISORY),
        ]
        return messages.AnalyzerInfo(name=PACK, version=VERSION, policies=policies)

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def Analyze(self, request: Any, context: Any) -> messages.AnalyzeResponse:  # noqa: N802
        return messages.AnalyzeResponse(diagnostics=list(_found(request)))

    def AnalyzeStack(self, request: Any, context: Any) -> messages.AnalyzeResponse:  # noqa: N802
        return messages.AnalyzeResponse()

    def Remediate(self, request: Any, context: Any) -> messages.RemediateResponse:  # noqa: N802
        return messages.RemediateResponse()

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is nothing to configure")


def _found(request: Any) -> Iterator[messages.AnalyzeDiagnostic]:
    if request.type != "cloudflare:index/dnsRecord:DnsRecord":
        return
    record = MessageToDict(request.properties)
    told = json.dumps(record)
    if "v=DMARC1; p=quarantine" in told:
        yield _diagnostic(request.urn, MANDATORY, messages.MANDATORY, f"{record['name']} has to say p=reject")
    if record["type"] == "MX":
        yield _diagnostic(request.urn, ADVISORY, messages.ADVISORY, f"{record['name']}: an hour is long for an MX")


def _diagnostic(urn: str, name: str, level: Any, text: str) -> messages.AnalyzeDiagnostic:
    return messages.AnalyzeDiagnostic(
        policyName=name, policyPackName=PACK, policyPackVersion=VERSION, message=text, urn=urn, enforcementLevel=level
    )


def main() -> None:
    """Serve until the engine ends this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Analyzer(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)  # noqa: T201 - how the engine learns the port
    server.start()
    with suppress(KeyboardInterrupt):
        server.wait_for_termination()


if __name__ == "__main__":
    main()
