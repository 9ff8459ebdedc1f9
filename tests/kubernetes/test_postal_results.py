"""What a job wrote on the cluster becomes an output: on the real engine, with the real plugin and API server."""

import json
from pathlib import Path

import pytest

from rehearsal.engine import Engine
from rehearsal.kubernetes import ApiServer
from tests.kubernetes.toolbox import project_for_the_real_plugin

pytestmark = pytest.mark.engine


def test_results_are_read_after_the_job_and_an_update_leaves_them_alone(tmp_path: Path) -> None:
    project = project_for_the_real_plugin(tmp_path, "results", "results_program.py")
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
