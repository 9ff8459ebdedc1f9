"""The real kubernetes plugin on the real engine, against the real API server."""

from pathlib import Path

import pytest

from rehearsal.engine import Engine
from rehearsal.kubernetes import ApiServer
from tests.kubernetes.toolbox import project_for_the_real_plugin

pytestmark = pytest.mark.engine


def test_a_resource_is_made_kept_compared_and_removed(tmp_path: Path) -> None:
    project = project_for_the_real_plugin(tmp_path, "paint", "config_map_program.py")
    lines: list[str] = []
    engine = Engine("plugin", tmp_path / "engine", lines.append, project_folder=project)
    with ApiServer("plugin-tests") as api:

        def paint(colour: str) -> None:
            engine.configure({"key": api.kubeconfig, "colour": colour}, "paint")

        def painted() -> str:
            return str(api.get("configmap", "paint")["data"]["colour"])

        paint("blue")
        engine.select()
        assert "created" in engine.up()
        assert painted() == "blue"
        version = api.get("configmap", "paint")["metadata"]["resourceVersion"]
        again = engine.up()
        assert "3 unchanged" in again, again
        assert api.get("configmap", "paint")["metadata"]["resourceVersion"] == version
        paint("red")
        shown = engine.preview("--diff")
        assert '"blue" => "red"' in shown, shown
        assert painted() == "blue"
        engine.up()
        assert painted() == "red"
        engine.destroy()
        assert api.try_kubectl("get", "configmap", "paint").returncode != 0
        # The administrator's key is a secret of the configuration.
        key = next(line for line in api.kubeconfig.splitlines() if "client-key-data" in line).split()[1]
        assert key not in "\n".join(lines)
        assert all(key not in path.read_text() for path in (tmp_path / "engine/state").rglob("*.json"))
