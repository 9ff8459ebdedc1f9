"""The real kubernetes plugin on the real engine, against the real API server."""

import shutil
from pathlib import Path

import pytest

from rehearsal.engine import Engine, find_cli
from rehearsal.kubernetes import ApiServer
from rehearsal.kubernetes.programs import missing
from rehearsal.plugins import real_plugin

pytestmark = pytest.mark.engine

PROJECT = "name: paint\nruntime:\n  name: python\n  options:\n    toolchain: pip\n    virtualenv: .venv\n"
ROOT = Path(__file__).resolve().parents[2]


def test_a_resource_is_made_kept_compared_and_removed(tmp_path: Path) -> None:
    reason = missing(api_server=True)
    if reason is not None:
        pytest.skip(reason)
    if find_cli() is None:
        pytest.skip("no Pulumi CLI: `make engine` builds one")
    if real_plugin("kubernetes") is None:
        pytest.skip("no kubernetes plugin: `make kubernetes-plugin` builds one")
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text(PROJECT)
    (project / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(Path(__file__).with_name("config_map_program.py"), project / "__main__.py")
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
