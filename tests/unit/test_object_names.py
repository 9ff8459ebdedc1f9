"""Names of a cluster's objects that never change: one for each version, and none twice."""

from mailstack.kubernetes.names import continued, versions
from mailstack.kubernetes.objects import Placed, Stage
from tests.unit.kubernetes_examples import VARIANTS, objects, placed, plan_of

State = dict[str, tuple[str, str]]


def settings(version: str) -> list[Placed]:
    """Return a ConfigMap of a version, and a workload that names it."""
    name = f"relay-{version * 10}"
    config = {"kind": "ConfigMap", "metadata": {"name": name}, "immutable": True, "data": {"told": name + "!"}}
    workload = {
        "kind": "StatefulSet",
        "metadata": {"name": "relay"},
        "spec": {"volumes": [{"configMap": {"name": name}}]},
    }
    return [
        Placed(name="settings", manifest=config, stage=Stage.BASIS),
        Placed(name="workload", manifest=workload, stage=Stage.WORKLOAD),
    ]


def made(version: str, before: State) -> tuple[str, State]:
    """Return the name that is used for a version, and what the state then holds."""
    config, workload = (one.manifest for one in continued(settings(version), before))
    name = str(config["metadata"]["name"])
    assert workload["spec"]["volumes"] == [{"configMap": {"name": name}}]
    assert config["data"] == {"told": f"relay-{version * 10}!"}, "only whole texts are names"
    return name, dict(versions([("settings", config), ("workload", workload)]))


def test_the_same_version_keeps_its_name_and_another_one_gets_another() -> None:
    first, state = made("a", {})
    assert first == "relay-aaaaaaaaaa"
    assert made("a", state) == (first, state)
    second, state = made("b", state)
    assert second != first
    assert made("b", state) == (second, state)


def test_what_is_put_back_gets_a_name_that_is_not_about_to_be_removed() -> None:
    used, state = [], dict[str, tuple[str, str]]()
    for version in "abababcab":
        name, state = made(version, state)
        used.append(name)
    assert len(set(used)) == len(used)
    assert {len(name) for name in used} == {len("relay-aaaaaaaaaa")}


def test_the_pods_name_what_there_is_and_a_second_plan_is_the_same() -> None:
    changes = VARIANTS["everything"]
    first = objects(changes)
    state = dict(versions((f"relay-{one.name}", one.manifest) for one in first))
    assert set(state) == {f"relay-{name}" for name in ("settings", "secrets", "check", "drain-3", "drain-4")}
    plan = plan_of(changes).continued({}, state)
    assert placed(plan).objects(plan.relay.shown) == first
    changed = plan_of({**changes, "relay.queue_lifetime_hours": 5}).continued({}, state)
    found = {one.name: one.manifest for one in placed(changed).objects(changed.relay.shown)}
    volumes = found["workload"]["spec"]["template"]["spec"]["volumes"]
    named = {volume["name"]: volume for volume in volumes}
    assert named["settings"]["configMap"]["name"] == found["settings"]["metadata"]["name"]
    assert named["secrets"]["secret"]["secretName"] == state["relay-secrets"][0]
    assert found["settings"]["metadata"]["name"] != state["relay-settings"][0]
