"""The commands against a running cluster: fields to the letter, exit statuses, and all of it with nobody leading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import wait_until

DEFINITIONS = """events:
  - name: orders
    match: {event: app/orders, state: ERROR}
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", one]}
"""


def run(*words: str, config: Path | None = None, **more: object) -> subprocess.CompletedProcess[str]:
    """One command, as a shell would start it."""
    environment = {**os.environ, **({"NOROSHI_CONFIG": str(config)} if config else {})}
    return subprocess.run(
        [sys.executable, "-m", "noroshi.console.main", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        **more,  # type: ignore[call-overload]
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("commands") / "cluster"
    with Cluster(root, names=("a", "b"), definitions=DEFINITIONS) as running:
        running.start()
        running.await_up()
        config = running.nodes["b"].config
        assert run("raise", "app/orders", "ERROR", "full", config=config).returncode == 0
        with running.nodes["b"].log.open("a") as log:
            log.write("first line\nsecond line\n")
        wait_until("told", lambda: [row.status for row in running.history()] == ["delivered"])
        wait_until("logged", lambda: len(running.lines("b")) == 2)
        yield running


@pytest.fixture
def config(cluster: Cluster) -> Path:
    return cluster.nodes["a"].config


def _json(ended: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


def _rows(ended: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_status_has_the_fields_that_scripts_rely_on(cluster: Cluster, config: Path) -> None:
    status = _json(run("status", "--json", config=config))
    assert set(status) == {"cluster", "coordinator", "nodes", "states"}
    assert status["cluster"] == "test"
    assert set(status["coordinator"]) == {"node", "term", "since"}  # type: ignore[call-overload]
    assert [set(node) for node in status["nodes"]] == [{"node", "state", "since"}] * 2  # type: ignore[union-attr,attr-defined]
    fields = {"category", "event", "state", "supplement", "node", "count", "observed_at"}
    states = status["states"]
    assert isinstance(states, list)
    assert all(set(state) == fields for state in states)
    (orders,) = [state for state in states if state["event"] == "app/orders"]
    assert (orders["state"], orders["supplement"], orders["node"], orders["count"]) == ("ERROR", "full", "b", 1)
    assert orders["category"] == "user"
    assert orders["observed_at"].endswith("Z")


def test_events_log_and_history_have_their_fields(config: Path) -> None:
    (event,) = [row for row in _rows(run("events", "--json", config=config)) if row["event"] == "app/orders"]
    assert {"event", "state", "supplement", "category", "node", "observed_at", "stored_at", "count"} <= set(event)
    lines = _rows(run("log", "--json", config=config))
    assert [row["line"] for row in lines] == ["first line", "second line"]
    assert {"node", "source", "line", "observed_at", "stored_at"} <= set(lines[0])
    (notification,) = _rows(run("history", "--json", config=config))
    assert (notification["definition"], notification["status"]) == ("orders", "delivered")
    (attempt,) = notification["attempts"]  # type: ignore[misc,attr-defined]
    wanted = {"priority", "node", "procedure", "application", "started_at", "ended_at", "outcome", "reason"}
    assert wanted <= set(attempt)  # type: ignore[has-type]


def test_log_can_be_cut_down(config: Path) -> None:
    def lines(*words: str) -> list[object]:
        return [row["line"] for row in _rows(run("log", "--json", *words, config=config))]

    assert lines("--limit", "1") == ["second line"]
    assert lines("--grep", "first") == ["first line"]
    assert lines("--node", "a") == []
    assert lines("--source", "**/app.log") == ["first line", "second line"]
    assert lines("--since", "-1h") == ["first line", "second line"]
    assert lines("--until", "-1h") == []


def test_config_may_stand_before_or_after_the_command(config: Path) -> None:
    for words in (["--config", str(config), "status"], ["status", "--config", str(config)]):
        assert run(*words).returncode == 0


def test_following_shows_lines_as_they_come(cluster: Cluster, config: Path) -> None:
    following = subprocess.Popen(
        [sys.executable, "-m", "noroshi.console.main", "log", "--follow", "--json", "--config", str(config)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert following.stdout is not None
        seen = [json.loads(following.stdout.readline())["line"] for _ in range(2)]
        with cluster.nodes["a"].log.open("a") as log:
            log.write("third line\n")
        seen.append(json.loads(following.stdout.readline())["line"])
    finally:
        following.kill()
        following.wait()
        following.stdout.close()
    assert seen == ["first line", "second line", "third line"]


def test_usage_errors_are_2_and_failures_1(tmp_path: Path, config: Path) -> None:
    assert run("status", "--nonsense").returncode == 2
    assert run("nonsense").returncode == 2
    assert run().returncode == 2
    missing = run("status", "--config", str(tmp_path / "none.yaml"))
    assert missing.returncode == 1
    assert str(tmp_path / "none.yaml") in missing.stderr
    assert missing.stdout == ""
    assert run("raise", "app/x", "", config=config).returncode in (1, 2)
    assert "Traceback" not in missing.stderr


def test_help_lists_every_command() -> None:
    from noroshi.console.main import COMMANDS

    shown = run("--help").stdout
    for name in COMMANDS:
        assert f"  {name} " in shown
        assert run(name, "--help").returncode == 0


def test_definitions_import_shows_checks_and_exports(cluster: Cluster, tmp_path: Path, config: Path) -> None:
    exported = run("definitions", "export", config=config).stdout
    file = tmp_path / "definitions.yaml"
    file.write_text(exported)
    assert run("definitions", "check", str(file), config=config).returncode == 0
    assert run("definitions", "import", str(file), config=config).stdout == "no change\n"
    file.write_text(exported.replace("priority: 1", "priority: 2"))
    dry = run("definitions", "import", "--dry-run", str(file), config=config)
    assert "orders" in dry.stdout
    assert run("definitions", "export", config=config).stdout == exported
    assert run("definitions", "diff", str(file), config=config).stdout == dry.stdout
    assert run("definitions", "import", str(file), config=config).returncode == 0
    assert run("definitions", "export", config=config).stdout == file.read_text()
    file.write_text("events: []\n")
    assert run("definitions", "import", str(file), config=config).stdout == "no change\n"
    assert "orders" in run("definitions", "import", "--prune", str(file), config=config).stdout
    assert "orders" not in run("definitions", "export", config=config).stdout


def test_a_definitions_file_with_mistakes_names_all_of_them(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "events:\n"
        "  - name: one\n"
        "    match: {event: app/x}\n"
        "    notify:\n"
        "      - {priority: 1, node: aa, procedure: process, application: [/bin/true]}\n"
        "      - {priority: 1, node: a, procedure: proces, application: [/bin/true]}\n"
        "logs:\n"
        "  - {name: two, match: {pattern: '('}}\n"
    )
    for words in (["check", str(file)], ["import", str(file)]):
        ended = run("definitions", *words, config=config)
        assert ended.returncode == 1
        for place in (":5:", ":6:", ":8:"):
            assert f"{file}{place}" in ended.stderr
        assert "did you mean" in ended.stderr


def test_check_finds_everything_at_once(tmp_path: Path, config: Path) -> None:
    assert run("check", config=config).returncode == 0
    wrong = tmp_path / "node.yaml"
    wrong.write_text(config.read_text() + "nonsense: 1\n")
    ended = run("check", config=wrong)
    assert ended.returncode == 1
    assert "nonsense" in ended.stdout


def test_check_names_programs_that_others_may_change_and_a_user_that_is_not_there(tmp_path: Path, config: Path) -> None:
    file, programs = tmp_path / "node.yaml", [tmp_path / name for name in ("page", "default", "plugin", "mdadm")]
    for each in programs:
        each.touch()
        each.chmod(0o757)
    page, default, plugin, mdadm = programs
    own = f"default: {{procedure: process, application: [{default}, word]}}"
    monitors = f"monitors: {{command: [{{name: x, run: [{plugin}]}}], lvm: {{command: {mdadm}}}}}\n"
    file.write_text(config.read_text().replace("programs: [", f"{own}, programs: [{page}, ") + monitors)
    ended = run("check", config=file)
    assert ended.returncode == 1
    for each in programs:
        assert f"{each}: it runs as the daemon's user, and anybody may write {each} (give it " in ended.stdout
        each.chmod(0o755)
    assert run("check", config=file).returncode == 0
    file.chmod(0o646)
    assert f"{file}: it says what may be started, and anybody may write {file}" in run("check", config=file).stdout
    file.write_text(file.read_text().replace("programs: [", "user: no-such-user, programs: ["))
    assert "no user no-such-user: nothing can be started (useradd" in run("check", config=file).stdout


def test_reading_works_with_nobody_leading(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", names=("a", "b")) as cluster:
        cluster.start()
        cluster.await_up()
        cluster.raise_on("a", "app/last", "OK")
        wait_until("stored", lambda: cluster.events("app/last"))
        cluster.kill("a")
        cluster.kill("b")
        config = cluster.nodes["a"].config
        status = _json(run("status", "--json", config=config))
        assert status["coordinator"] is None
        assert any(state["event"] == "app/last" for state in status["states"])  # type: ignore[union-attr,attr-defined]
        assert "app/last" in [row["event"] for row in _rows(run("events", "--json", config=config))]
        refused = run("definitions", "import", str(cluster.layout.cluster), config=config)
        assert refused.returncode == 1


def test_an_error_that_quotes_a_file_gives_no_orders_to_the_terminal(tmp_path: Path) -> None:
    wrong = tmp_path / "node.yaml"
    wrong.write_text('node: "a\\e]0;owned\\a"\nshared: 1\n')
    ended = run("status", config=wrong)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) >= 2
    assert "\x1b" not in ended.stderr
    assert "\x07" not in ended.stderr
