"""What a job wrote on the cluster becomes an output: on the real engine, with the real plugin and API server."""

import json
import shutil
from pathlib import Path

import pytest

from rehearsal.engine import Engine, find_cli
from rehearsal.kubernetes import ApiServer
from rehearsal.kubernetes.programs import missing
from rehearsal.plugins import real_plugin

pytestmark = pytest.mark.engine

PROJECT = "name: results\nruntime:\n  name: python\n  options:\n    toolchain: pip\n    virtualenv: .venv\n"
ROOT = Path(__file__).resolve().parents[2]


def test_results_are_read_after_the_job_and_an_update_leaves_them_alone(tmp_path: Path) -> None:
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
    shutil.copy(Path(__file__).with_name("results_program.py"), project / "__main__.py")
    engine = Engine("results", tmp_path / "engine", lambda _line: None, project_folder=project)
    with ApiServer("results-tests") as api:

        def version(number: int) -> None:
            engine.configure({"key": api.kubeconfig, "version": str(number)}, "results")

        version(1)
        engine.select()
        # Nothing is there to be read yet.
        assert "found" in engine.preview()
        engine.up()
        assert engine.outputs()["found"] == {}
        # As the job does it.
        told = json.dumps({"data": {"domains": json.dumps({"example.com": {"dkim": "OK"}})}})
        api.kubectl("patch", "configmap", "results", "--type=merge", f"--patch={told}")
        version(2)
        engine.up()
        assert engine.outputs()["found"] == {"example.com": {"dkim": "OK"}}
        again = engine.up()
        assert "unchanged" in again, again
        assert "updated" not in again
        assert api.get("configmap", "results")["data"]["domains"]
        engine.destroy()
        assert api.try_kubectl("get", "configmap", "results").returncode != 0
