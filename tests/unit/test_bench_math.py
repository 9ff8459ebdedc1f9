"""The arithmetic and the parsers of the throughput bench, without a host."""

from pathlib import Path

import pytest

from rehearsal.bench.build import source_files, source_hash
from rehearsal.bench.cgroup import container_group, machine_busy_seconds, mount_points, parse_cpu_stat
from rehearsal.bench.guide_config import GUIDE_LEFT_OUT, GUIDE_PARAMETERS, guide_arguments
from rehearsal.bench.stats import drain_rate, median, paired_ratios, rate, spread
from rehearsal.bench.throughput import Comparison, Load, Run, render
from rehearsal.bench.upstream import Counters

CONTAINER = "a" * 64


def counters(**changes: int) -> Counters:
    values = dict.fromkeys(Counters.__dataclass_fields__, 0) | {"mails": 1000, "connections_with_mail": 50}
    return Counters(**(values | changes))


def run(relay: str, *, repetition: int = 0, rtt_ms: float = 20.0, per_second: float = 80.0, cpu: float = 6.0) -> Run:
    return Run(
        relay=relay,
        rtt_ms=rtt_ms,
        repetition=repetition,
        messages=1000,
        seconds=1000 / per_second,
        inject_seconds=5.0,
        rate=per_second,
        drain_rate=None,
        relay_cpu_seconds=cpu,
        sink_cpu_seconds=0.4,
        generator_cpu_seconds=0.4,
        link_cpu_seconds=0.1,
        other_cpu_seconds=0.0,
        noisy=False,
        measured_rtt_ms=rtt_ms,
        counters=counters(),
    )


def comparison(*runs: Run) -> Comparison:
    return Comparison(base="guide", candidate="mailstack", load=Load(rtts_ms=(20.0,)), runs=runs)


class TestNumbers:
    def test_median_takes_the_middle_and_the_mean_of_two_middles(self) -> None:
        assert median([9.0, 1.0, 5.0]) == 5.0
        assert median([1.0, 2.0, 4.0, 100.0]) == 3.0

    def test_median_of_nothing_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="at least one repetition"):
            median([])

    def test_spread_is_the_range_relative_to_the_median(self) -> None:
        assert spread([80.0, 100.0, 110.0]) == pytest.approx(0.3)
        assert spread([42.0]) == 0.0

    def test_spread_refuses_a_median_that_is_no_rate(self) -> None:
        with pytest.raises(ValueError, match="positive"):
            spread([0.0, 0.0])

    def test_rate_refuses_a_time_that_did_not_pass(self) -> None:
        assert rate(3000, 10.0) == 300.0
        with pytest.raises(ValueError, match="clock"):
            rate(3000, 0.0)

    def test_ratios_pair_the_runs_of_one_repetition(self) -> None:
        assert paired_ratios([300.0, 150.0], [100.0, 50.0]) == [3.0, 3.0]

    def test_unpaired_runs_are_an_error(self) -> None:
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_ratios([300.0], [100.0, 50.0])


class TestDrainRate:
    def test_counts_only_what_was_left_when_injection_ended(self) -> None:
        assert drain_rate(total=3000, left=1500, seconds=3.0) == 500.0

    def test_a_relay_that_keeps_pace_has_none(self) -> None:
        assert drain_rate(total=3000, left=299, seconds=3.0) is None
        assert drain_rate(total=3000, left=0, seconds=0.0) is None

    def test_a_moment_is_too_short_to_tell(self) -> None:
        assert drain_rate(total=3000, left=1500, seconds=0.4) is None

    def test_more_left_than_sent_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="counts do not fit"):
            drain_rate(total=100, left=101, seconds=1.0)


class TestControlGroups:
    def test_v1_path_is_cut_where_systemd_in_the_container_divides_further(self) -> None:
        text = (
            f"9:name=systemd:/docker/{CONTAINER}/init.scope\n"
            f"4:cpu,cpuacct:/docker/{CONTAINER}/system.slice/ssh.service\n0::/\n"
        )
        assert container_group(text, CONTAINER) == (1, f"/docker/{CONTAINER}")

    def test_v2_path_of_the_systemd_driver_ends_at_the_scope(self) -> None:
        text = f"0::/system.slice/docker-{CONTAINER}.scope/init.scope\n"
        assert container_group(text, CONTAINER) == (2, f"/system.slice/docker-{CONTAINER}.scope")

    def test_v2_path_of_the_cgroupfs_driver(self) -> None:
        assert container_group(f"0::/docker/{CONTAINER}\n", CONTAINER) == (2, f"/docker/{CONTAINER}")

    def test_hybrid_host_that_counts_cpu_in_v2_only(self) -> None:
        text = f"1:name=systemd:/docker/{CONTAINER}\n0::/docker/{CONTAINER}\n"
        assert container_group(text, CONTAINER) == (2, f"/docker/{CONTAINER}")

    def test_a_process_outside_the_container_is_an_error_that_says_why(self) -> None:
        with pytest.raises(OSError, match="needs Docker on this machine"):
            container_group("4:cpuacct:/user.slice\n0::/\n", CONTAINER)

    def test_mounts_of_both_versions_are_found(self) -> None:
        text = (
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
            "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n"
            "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
        )
        assert mount_points(text) == {1: "/sys/fs/cgroup/cpu,cpuacct", 2: "/sys/fs/cgroup/unified"}

    def test_v2_time_is_microseconds(self) -> None:
        assert parse_cpu_stat("usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n") == 2.5

    def test_v2_without_usage_is_an_error(self) -> None:
        with pytest.raises(OSError, match="usage_usec"):
            parse_cpu_stat("nr_periods 0\n")

    def test_idle_waiting_and_stolen_time_is_not_work(self) -> None:
        stat = "cpu  100 10 50 9999 9999 20 20 9999 77 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
        assert machine_busy_seconds(stat, 100) == 2.0


class TestComparison:
    def test_ratios_are_medians_of_pairs_whatever_the_order_of_the_runs(self) -> None:
        result = comparison(
            run("guide", repetition=0, per_second=100.0, cpu=8.0),
            run("mailstack", repetition=0, per_second=400.0, cpu=4.0),
            run("mailstack", repetition=1, per_second=100.0, cpu=6.0),
            run("guide", repetition=1, per_second=50.0, cpu=8.0),
            run("guide", repetition=2, per_second=80.0, cpu=8.0),
            run("mailstack", repetition=2, per_second=240.0, cpu=5.0),
        )
        assert result.rate_ratio(20.0) == 3.0
        assert result.cpu_ratio(20.0) == 0.625

    def test_other_round_trips_do_not_mix_in(self) -> None:
        result = comparison(
            run("guide", per_second=80.0),
            run("guide", per_second=999.0, rtt_ms=0.0),
            run("mailstack", per_second=320.0),
        )
        assert result.rate_ratio(20.0) == 4.0

    def test_cpu_and_connection_use_are_per_message(self) -> None:
        measured = run("guide", cpu=6.5)
        assert measured.cpu_ms_per_message == 6.5
        assert measured.messages_per_connection == 20.0

    def test_table_shows_both_relays_and_the_ratio(self) -> None:
        lines = render(comparison(run("guide", per_second=80.0, cpu=6.0), run("mailstack", per_second=320.0, cpu=3.0)))
        assert len(lines) == 5
        assert lines[2].split() == ["20", "ms", "guide", "80", "0%", "-", "6.00", "0", "0", "20.0", "0", "0", "of", "1"]
        assert lines[3].split()[:4] == ["20", "ms", "mailstack", "320"]
        assert lines[4].split() == ["20", "ms", "ratio", "4.00x", "0.50x"]


class TestGuide:
    def test_keeps_the_guides_own_weak_tls_level_and_next_hop(self) -> None:
        assert GUIDE_PARAMETERS["smtp_tls_security_level"] == "may"
        assert GUIDE_PARAMETERS["relayhost"] == "[smtp-relay.gmail.com]:587"

    def test_leaves_out_passwords_and_nothing_else(self) -> None:
        assert all(name.startswith("smtp_sasl_") for name in GUIDE_LEFT_OUT)
        assert not set(GUIDE_LEFT_OUT) & set(GUIDE_PARAMETERS)
        assert len(GUIDE_LEFT_OUT) + len(GUIDE_PARAMETERS) == 7

    def test_arguments_are_one_assignment_each(self) -> None:
        assert "smtp_use_tls=yes" in guide_arguments()
        assert len(guide_arguments()) == len(GUIDE_PARAMETERS)


class TestBuildKey:
    def test_changes_with_the_text_and_with_the_name(self, tmp_path: Path) -> None:
        first, second = tmp_path / "a.go", tmp_path / "b.go"
        first.write_text("package a\n")
        second.write_text("package a\n")
        before = source_hash([first])
        assert source_hash([second]) != before
        assert source_hash([first]) == before
        first.write_text("package b\n")
        assert source_hash([first]) != before

    def test_covers_both_programs_and_no_test(self) -> None:
        names = {f"{file.parent.name}/{file.name}" for file in source_files()}
        assert {"bench/go.mod", "sink/main.go", "wire/main.go"} <= names
        assert not any(name.endswith("_test.go") for name in names)
