"""cluster.yaml and node.yaml: the values they give, and every mistake named with its place and a next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from raisers import short_directory
from yaml_cases import CLUSTER, CLUSTER_MISTAKES, NODE, NODE_MISTAKES, SMALL_NODE, with_node

from noroshi.node.monitors.registry import MONITORS as RUNNING
from noroshi.store.config import (
    MONITORS,
    Backups,
    Bounds,
    Cluster,
    DefaultDestination,
    EventFilter,
    Heartbeat,
    LogRule,
    NodeAddress,
    NotifierConfig,
    Rate,
    RecordRule,
    Retention,
    SignalRule,
    check_pair,
    load_cluster,
    load_node,
    parse_cluster,
)
from noroshi.store.errors import ConfigError, Problem
from noroshi.store.model import Limit


def write(directory: Path, text: str) -> Path:
    file = directory / "file.yaml"
    file.write_text(text)
    return file


def cluster_problems(directory: Path, text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load_cluster(write(directory, text))
    return caught.value.problems


def node_problems(directory: Path, text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load_node(write(directory, text))
    return caught.value.problems


# --- cluster.yaml ------------------------------------------------------------------------------------------------


def test_a_cluster_with_everything(tmp_path: Path) -> None:
    cluster = load_cluster(write(tmp_path, CLUSTER))
    assert cluster == Cluster(
        name="demo",
        nodes=(NodeAddress("db1", "127.0.0.1", 7400), NodeAddress("db2", "10.0.0.2", 7400)),
        heartbeat=Heartbeat(0.5, 3, 6, 8192, "wait"),
        coordinator="external",
        security="curve",
        keys=tmp_path / "keys",
        limit=Limit(1000, 60.0),
        backup=Backups(43_200.0, 7),
        retention=Retention(10 * 1024**3, 30 * 86_400.0, 730 * 86_400.0),
    )
    assert cluster.names == ("db1", "db2")
    assert (cluster.heartbeat.suspect_time, cluster.heartbeat.down_time) == (1.5, 3.0)


def test_no_backups_are_made_where_the_file_says_so(tmp_path: Path) -> None:
    file = write(tmp_path, "cluster: x\nbackup: false\nnodes: {a: {address: 10.0.0.1, port: 1}}\n")
    assert load_cluster(file).backup is None


def test_what_is_left_out_of_a_cluster_has_the_documented_default(tmp_path: Path) -> None:
    cluster = load_cluster(write(tmp_path, "cluster: x\nnodes: {a: {address: 10.0.0.1, port: 1}}\n"))
    assert cluster == Cluster("x", (NodeAddress("a", "10.0.0.1", 1),))
    assert cluster.heartbeat == Heartbeat(interval=1.0, suspect=2, down=4, packet=4096, overflow="flush")
    assert (cluster.coordinator, cluster.security, cluster.keys) == ("automatic", "none", None)


def test_a_node_has_three_endpoints_and_keeps_its_order_in_the_file(tmp_path: Path) -> None:
    text = "cluster: x\nnodes:\n" + "".join(f"  n{n}: {{address: 10.0.0.{n}, port: 7400}}\n" for n in (9, 1, 5))
    cluster = load_cluster(write(tmp_path, text))
    assert cluster.names == ("n9", "n1", "n5")
    node = cluster.node("n1")
    assert (node.packets, node.notifier, node.coordinator) == (
        "tcp://10.0.0.1:7400",
        "tcp://10.0.0.1:7401",
        "tcp://10.0.0.1:7402",
    )
    with pytest.raises(KeyError):
        cluster.node("n2")


@pytest.mark.parametrize(
    ("text", "place", "says", "hint"),
    CLUSTER_MISTAKES,
)
def test_mistakes_in_cluster_yaml(tmp_path: Path, text: str, place: tuple[int, int], says: str, hint: str) -> None:
    problem = cluster_problems(tmp_path, text)[0]
    assert (problem.line, problem.column) == place
    assert says in problem.message
    assert hint in problem.hint
    assert problem.file == tmp_path / "file.yaml"


def test_nodes_may_share_an_address_when_their_ports_do_not_meet(tmp_path: Path) -> None:
    cluster = load_cluster(write(tmp_path, with_node("b: {address: 10.0.0.1, port: 7403}")))
    assert [each.port for each in cluster.nodes] == [7400, 7403]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
cluster: 5
heartbeat: {interval: 1, sspect: 2, overflow: x}
nodes:
  a: {address: nowhere, port: 99999}
  b/c: {adress: 10.0.0.1}
colour: red
"""
    problems = cluster_problems(tmp_path, text)
    assert [each.line for each in problems] == [1, 2, 2, 2, 4, 4, 5, 5, 5, 5, 6]
    assert str(problems[1]).startswith(f"{tmp_path / 'file.yaml'}:2:23: interval has no unit")
    assert "(did you mean 'address'?)" in str(problems[7]) or "(did you mean 'address'?)" in str(problems[9])


def test_a_file_that_is_wrong_throughout_ends_the_search(tmp_path: Path) -> None:
    nodes = "".join(f"  n{n}: {{adress: 1, prt: 2}}\n" for n in range(5000))
    problems = cluster_problems(tmp_path, f"cluster: x\nnodes:\n{nodes}")
    assert len(problems) == 201
    assert "more problems" in problems[-1].message


def test_the_cached_text_of_a_cluster_gives_the_same(tmp_path: Path) -> None:
    file = write(tmp_path, CLUSTER)
    assert parse_cluster(CLUSTER, file) == load_cluster(file)


# --- node.yaml ---------------------------------------------------------------------------------------------------


def test_a_node_with_everything(tmp_path: Path) -> None:
    node = load_node(write(tmp_path, NODE))
    assert (node.file, node.node) == (tmp_path / "file.yaml", "db1")
    assert (node.shared, node.state, node.run) == (
        Path("/srv/noroshi"),
        Path("/var/lib/noroshi"),
        Path("/run/noroshi"),
    )
    assert node.logs == (
        LogRule("/var/log/*.log", ("error", "fail"), ("harmless",), deferred=True),
        LogRule("/var/log/all"),
        LogRule(
            "/srv/app.log",
            encoding="shift_jis",
            record=RecordRule(r"^\d{4}-"),
            record_timeout=5.0,
            rate=Rate(1000, 1, "1000/s"),
            burst=99,
        ),
        LogRule("/srv/trace.log", record=RecordRule(None), rate=Rate(60, 60, "60/m")),
    )
    assert node.events == EventFilter(("server/*", "raid/**"), ("server/test*",))
    assert "raid" not in node.monitors
    assert node.monitors["filesystem"] == {
        "interval": 10.0,
        "root": Path("/"),
        "warning": 80,
        "error": 97,
        "write": ("/srv",),
    }
    assert node.monitors["unit"]["command"] == ("/usr/bin/sudo", "/bin/systemctl")
    assert node.monitors["smart"]["command"] == ("/usr/sbin/smartctl",)
    assert node.monitors["link"]["addresses"] == ("192.0.2.7", "2001:db8::7")
    assert node.monitors["command/backup"] == {
        "name": "backup",
        "run": ("/usr/local/bin/check_backup", "--age", "1d"),
        "interval": 300.0,
        "timeout": 30.0,
        "match": "fresh|new",
    }
    assert (node.monitors["command/load"]["interval"], node.monitors["command/load"]["timeout"]) == (60.0, 10.0)
    assert node.signals == (
        SignalRule("USR1", "app/batch", "STARTED"),
        SignalRule("RTMIN+3", "app/batch", "ENDED", "by hand"),
    )
    assert node.notifier == NotifierConfig(
        (str(Path("/usr/local/bin/page")), str(tmp_path / "bin/local")),
        "noroshi",
        DefaultDestination("process", ["/usr/local/bin/page", "--team", "all"]),
    )


def test_the_bounds_of_a_nodes_spools(tmp_path: Path) -> None:
    assert load_node(write(tmp_path, NODE)).spool == Bounds(512 * 1024**2, 14 * 86_400.0)
    assert load_node(write(tmp_path, SMALL_NODE + "spool: {age: 1h}\n")).spool == Bounds(64 * 1024**2, 3600.0)


def test_what_is_left_out_of_a_node_has_the_documented_default(tmp_path: Path) -> None:
    node = load_node(write(tmp_path, SMALL_NODE))
    assert (node.logs, node.events, node.notifier) == ((), EventFilter(), NotifierConfig())
    assert node.notifier.default is None
    assert set(node.monitors) == set(MONITORS)
    assert node.signals == ()
    assert node.monitors["raid"]["interval"] == 30.0


def test_relative_paths_start_from_the_directory_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with short_directory() as short, monkeypatch.context() as here:
        directory = short / "with [brackets]"
        directory.mkdir()
        write(directory, SMALL_NODE + "logs: [{path: log/*.txt}]\n")
        here.chdir(directory)
        node = load_node(Path("file.yaml"))
        assert (node.file, node.shared, node.run) == (directory / "file.yaml", directory / "s", directory / "r")
        log = directory / "log" / "a.txt"
        log.parent.mkdir()
        log.touch()
        assert list(Path("/").glob(node.logs[0].path[1:])) == [log]


def test_every_monitor_of_the_configuration_is_one_of_the_node() -> None:
    assert set(MONITORS) == set(RUNNING)


def test_the_event_filter_sends_all_unless_told_otherwise() -> None:
    assert EventFilter().allows("anything/at/all")
    some = EventFilter(("server/*", "raid/**"), ("server/test*",))
    assert [some.allows(each) for each in ("server/db1", "raid/a/b", "server/test1", "app/x")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("line", "place", "says", "hint"),
    NODE_MISTAKES,
)
def test_mistakes_in_node_yaml(tmp_path: Path, line: str, place: tuple[int, int], says: str, hint: str) -> None:
    problem = node_problems(tmp_path, SMALL_NODE + line + "\n")[0]
    assert (problem.line, problem.column) == place
    assert says in problem.message
    assert hint in problem.hint


def test_the_directories_of_a_node_are_its_own_and_fit_a_socket(tmp_path: Path) -> None:
    problems = node_problems(tmp_path, "node: a\nshared: x\nstate: ./x\nrun: y/../x\n")
    assert [(each.line, each.message) for each in problems] == [
        (3, "state is the shared directory"),
        (4, "run is the shared directory"),
    ]
    long = f"/{'r' * 90}"
    fits = f"node: a\nshared: s\nstate: t\nrun: {long[:90]}\n"
    assert len(os.fsencode(load_node(write(tmp_path, fits)).run / "coordinator.sock")) == 107
    problem = node_problems(tmp_path, f"node: a\nshared: s\nstate: t\nrun: {long}\n")[0]
    assert problem.line == 4
    assert "too long for a socket" in problem.message


def test_a_node_must_be_one_of_its_cluster(tmp_path: Path) -> None:
    cluster = Cluster("x", (NodeAddress("db1", "10.0.0.1", 1), NodeAddress("db2", "10.0.0.2", 1)))
    node = load_node(write(tmp_path, "# a comment\n" + SMALL_NODE))
    assert check_pair(node, cluster) == []
    stranger = load_node(write(tmp_path, "# a comment\n" + SMALL_NODE.replace("db1", "dv1")))
    (problem,) = check_pair(stranger, cluster)
    assert (problem.line, problem.column) == (2, 7)
    assert "'dv1' is not in" in problem.message
    assert problem.hint == "did you mean 'db1'?"
