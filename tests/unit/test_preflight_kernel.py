"""What the preflight asks of the kernel, for nodes of a cluster."""

from pathlib import Path

import pytest

from preflight import kernel


def test_a_module_that_is_loaded_is_fine_and_one_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "memory_controller", list)
    loaded = next(path.name for path in Path("/sys/module").iterdir())
    missing = kernel.modules([loaded, "mailstack_no_such_module"])
    assert [each.what for each in missing] == ["kernel module mailstack_no_such_module"]


def test_a_host_without_a_cluster_is_asked_nothing() -> None:
    assert kernel.modules([]) == []


@pytest.mark.parametrize(
    ("controllers", "cgroups", "fine"),
    [
        ("cpuset cpu io memory pids\n", None, True),
        ("cpuset cpu io pids\n", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t0\n", False),
        (None, "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t9\t1\nmemory\t4\t88\t1\n", True),
        (None, None, False),
    ],
    ids=["version 2", "switched off", "version 1", "none"],
)
def test_control_groups_must_limit_memory(
    controllers: str | None, cgroups: str | None, fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"/sys/fs/cgroup/cgroup.controllers": controllers, "/proc/cgroups": cgroups}
    monkeypatch.setattr(kernel, "read", files.get)
    assert (kernel.memory_controller() == []) is fine
