"""What the program registers for applications on its cluster: Secrets, after everything else, and nothing in clear."""

import json

from tests.graph.recording import is_secret, plain, run_graph
from tests.unit.mistakes import changed
from tests.unit.postal_cluster_examples import postal_on_cluster

SMTP_KEY, API_KEY = "smtpsmtpsmtpsmtpsmtpsmtp", "apiapiapiapiapiapiapiapi"


def test_keys_reach_a_cluster_as_secrets_and_nothing_shows_them() -> None:
    told = {
        "relay.kubernetes.application_secrets": [{"namespace": "legacy"}],
        "postal.kubernetes.application_secrets": [
            {"namespace": "shop", "server": "example/apps", "credential": "shop"},
        ],
    }
    recorder, outputs = run_graph(changed(postal_on_cluster(), told))
    one = recorder.resources["postal-application-shop.mail"]
    assert one.typ == "kubernetes:core/v1:Secret"
    assert is_secret(one.inputs["stringData"])
    assert plain(one.inputs["stringData"])["SMTP_PASSWORD"] == SMTP_KEY
    assert plain(recorder.resources["relay-application-legacy.mail"].inputs["stringData"])["SMTP_PORT"] == "25"
    order = list(recorder.resources)
    assert order.index("postal-provision") < order.index("postal-application-shop.mail"), "its keys work by then"
    for name, args in recorder.resources.items():
        visible = json.dumps({key: plain(value) for key, value in args.inputs.items() if not is_secret(value)})
        assert SMTP_KEY not in visible, name
        assert API_KEY not in visible, name
    assert outputs["mail_servers"]["example/apps"]["smtp_keys"] == {"shop": SMTP_KEY}
