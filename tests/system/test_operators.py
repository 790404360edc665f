"""What operators do, on a real cluster: each command typed, each consequence read back, take-overs in between."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cluster import Cluster
from commands import at_a_terminal, noroshi, noroshi_here, noroshi_json
from waiting import wait_until

from noroshi.console.commands.asking import ask_coordinator, place
from noroshi.node.wire.messages import ImportDefinitions
from noroshi.store import views
from noroshi.store.errors import NoroshiError

DEFINITIONS = """
events:
  - name: chain
    match: {event: "app/chain", state: ERROR}
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", one]}
      - {priority: 2, node: b, procedure: process, application: ["{b}", two]}
  - name: broken
    match: {event: "app/broken"}
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", one]}
      - {priority: 2, node: b, procedure: process, application: [/not/allowed]}
logs:
  - name: oom
    match: {pattern: "Out of memory"}
    notify:
      - {priority: 1, node: b, procedure: process, application: ["{b}", oom]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(Path(tmp_path_factory.mktemp("operators")) / "c", definitions=DEFINITIONS) as running:
        running.start()
        running.await_up()
        yield running


@pytest.fixture(autouse=True)
def fresh(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        (node.home / "told.txt").unlink(missing_ok=True)


def test_explain_says_who_would_be_told_and_raises_nothing(cluster: Cluster) -> None:
    said = noroshi_json(cluster, "c", "definitions", "explain", "app/chain", "ERROR")
    (chain,) = said["definitions"]
    assert (chain["definition"], chain["told"]) == ("chain", True)
    assert [(group["priority"], group["turn"]) for group in chain["groups"]] == [
        (1, "now"),
        (2, "when priority 1 has failed"),
    ]
    assert noroshi(cluster, "c", "definitions", "explain", "app/chain", "OK") == "nobody: no definition matches\n"
    assert "oom v1: told" in noroshi(cluster, "c", "definitions", "explain", "--line", "Out of memory: 7")
    noroshi(cluster, "c", "definitions", "explain", "app/chain", status=2)
    assert cluster.events("app/chain") == []


def test_a_test_reaches_every_destination_marked_and_changes_no_state(cluster: Cluster) -> None:
    text = noroshi(cluster, "c", "definitions", "test", "chain")
    assert text.count("delivered") == 2
    for node, word in (("a", "one"), ("b", "two")):
        ((_, event, state, supplement, _, words),) = cluster.nodes[node].told()
        assert (event, state, words) == ("test/chain", "TEST", word)
        assert supplement.endswith("nothing has happened")
    assert "test/chain" not in cluster.states()
    assert [row.notice for row in cluster.history("chain")] == ["test", "test"]


def test_a_test_that_fails_says_so_and_raises_no_failure(cluster: Cluster) -> None:
    good, bad = noroshi_json(cluster, "c", "definitions", "test", "broken", status=1)
    assert (good["status"], bad["status"]) == ("delivered", "abandoned")
    assert bad["reason"].startswith("a test, and no group left: b:")
    assert cluster.events("notification-failure") == []
    assert "no definition nothing" in noroshi(cluster, "c", "definitions", "test", "nothing", status=1)
    noroshi(cluster, "c", "definitions", "test", "oom")
    ((_, _, state, _, line, _),) = cluster.nodes["b"].told()
    assert (state, line.split()[0]) == ("TEST", "TEST")


def test_a_silence_holds_back_and_what_is_still_bad_is_told_when_it_ends(cluster: Cluster) -> None:
    said = noroshi(cluster, "c", "silence", "add", "app/*", "--for", "1h", "--comment", "upgrade")
    assert "covers 0 of the present states" in said
    cluster.raise_on("c", "app/chain", "ERROR", "while silenced")
    held = wait_until("held", lambda: [row for row in cluster.history("chain") if row.status == "held"])
    assert held[0].reason.startswith("silenced: silence 1 of ")
    assert held[0].attempts == ()
    (listed,) = [noroshi_json(cluster, "c", "silence", "list")]
    assert (listed["pattern"], listed["covers"], listed["comment"]) == ("app/*", ["app/chain"], "upgrade")
    (explained,) = noroshi_json(cluster, "c", "definitions", "explain", "app/chain", "ERROR")["definitions"]
    assert explained["reason"].startswith("silenced: silence 1")
    old = cluster.await_leader()
    process = cluster.coordinator_process(old.node)
    assert process is not None
    process.kill()
    cluster.await_leader(not_term=old.term)
    assert cluster.nodes["a"].told() == []
    assert "ended: silence 1" in noroshi(cluster, "c", "silence", "remove", "1")
    ((_, event, state, supplement, _, _),) = wait_until("told", cluster.nodes["a"].told)
    assert (event, state, supplement) == ("app/chain", "ERROR", "while silenced")
    assert cluster.history("chain")[-1].notice == "resumed"
    assert "no silence 1 stands" in noroshi(cluster, "c", "silence", "remove", "1", status=1)


def test_a_silence_ends_by_itself_and_what_is_over_is_not_told(cluster: Cluster) -> None:
    before = next(at for at in map(partial(came_and_went_while_silenced, cluster), (4, 20, 60)) if at is not None)
    told = len(cluster.nodes["a"].told())
    wait_until("it has ended", lambda: noroshi_here(cluster, "c", "silence", "list") == "", 90)
    cluster.raise_on("c", "app/chain", "ERROR", "after it")
    wait_until("told", lambda: len(cluster.nodes["a"].told()) > told)
    assert [(row.notice, row.status) for row in cluster.history("chain")[before:-1]] == [("change", "held")]
    assert [each[3] for each in cluster.nodes["a"].told()[told:]] == ["after it"]


def came_and_went_while_silenced(cluster: Cluster, seconds: int) -> int | None:
    """How many notifications there were before; None where the silence was over before all of it was stored."""
    cluster.raise_on("c", "app/chain", "OK")
    wait_until("it is good", lambda: cluster.states().get("app/chain") == "OK")
    wait_until("nobody is being told", lambda: all(row.ended_at for row in cluster.history("chain")))
    before = len(cluster.history("chain"))
    noroshi_here(cluster, "c", "silence", "add", "app/chain", "--for", f"{seconds}s")
    cluster.raise_on("c", "app/chain", "ERROR", "and again")
    wait_until("held, or told", lambda: len(cluster.history("chain")) > before)
    cluster.raise_on("c", "app/chain", "OK")
    wait_until("it is over", lambda: cluster.states().get("app/chain") == "OK")
    return before if noroshi_here(cluster, "c", "silence", "list") else None


def test_maintenance_covers_a_node_through_its_planned_stop(cluster: Cluster) -> None:
    noroshi(cluster, "c", "definitions", "import", str(_servers(cluster)))
    leader = cluster.await_leader().node
    node = cluster.other_than(leader, "a")
    assert f"maintenance of {node}" in noroshi(cluster, "a", "maintenance", node, "--for", "1h")
    cluster.stop(node)
    wait_until("held", lambda: [row.status for row in cluster.history("servers")] == ["held"])
    cluster.start(node)
    cluster.await_up()
    assert cluster.nodes["a"].told() == []
    assert "ended" in noroshi(cluster, "a", "maintenance", node, "--end")
    assert [row.status for row in cluster.history("servers")] == ["held"]
    assert "no node nowhere" in noroshi(cluster, "a", "maintenance", "nowhere", "--for", "1h", status=1)


def _servers(cluster: Cluster) -> Path:
    file = cluster.root / "servers.yaml"
    program = cluster.nodes["a"].program
    file.write_text(
        'events:\n  - name: servers\n    match: {event: "server/*", state: [STOPPED, DOWN]}\n    notify:\n'
        f'      - {{priority: 1, node: a, procedure: process, application: ["{program}", server]}}\n'
    )
    return file


def test_versions_are_kept_with_author_and_difference_and_rolled_back(cluster: Cluster) -> None:
    file = cluster.root / "chain.yaml"
    exported = noroshi(cluster, "c", "definitions", "export")
    file.write_text(exported.replace("app/chain", "app/chained"))
    assert "app/chained" in noroshi(cluster, "c", "definitions", "import", str(file), "--dry-run")
    noroshi(cluster, "c", "definitions", "import", str(file))
    first, second = noroshi_json(cluster, "c", "definitions", "log", "chain")
    assert (first["author"], first["note"], first["version"]) == ("seed", "definitions.yaml", 1)
    assert second["lines"] == ["~ chain event: app/chain -> app/chained"]
    assert second["note"] == f"import {file}"
    assert "app/chain\n" in noroshi(cluster, "c", "definitions", "rollback", "chain")
    assert noroshi(cluster, "c", "definitions", "export") == exported
    assert noroshi(cluster, "c", "definitions", "rollback", "chain") == "~ chain event: app/chain -> app/chained\n"
    noroshi(cluster, "c", "definitions", "rollback", "chain", "--to", "1")
    assert "never was" in noroshi(cluster, "c", "definitions", "rollback", "chain", "--to", "9", status=1)
    assert "- broken" in noroshi(cluster, "c", "definitions", "remove", "broken")
    assert "broken" not in noroshi(cluster, "c", "definitions", "export")
    assert "+ broken" in noroshi(cluster, "c", "definitions", "rollback", "broken")
    assert noroshi(cluster, "c", "definitions", "export") == exported


def test_an_edit_of_what_somebody_else_changed_is_refused_with_both(cluster: Cluster) -> None:
    at = place(str(cluster.nodes["c"].config))
    _, seen = at.reader.query(views.definitions_seen)
    text = noroshi(cluster, "c", "definitions", "export")
    theirs = ImportDefinitions(text.replace("app/chain", "app/theirs"), "theirs.yaml", "bob", seen=seen)
    ours = ImportDefinitions(text.replace("app/chain", "app/ours"), "ours.yaml", "ann", seen=seen)
    ask_coordinator(at, theirs, "import")
    with pytest.raises(NoroshiError) as refused:
        ask_coordinator(at, ours, "import")
    assert f"chain: version {seen['chain']} was seen, version {seen['chain'] + 1} of bob" in str(refused.value)
    assert "theirs: ~ chain event: app/chain -> app/theirs" in str(refused.value)
    assert "yours, on top of it: ~ chain event: app/theirs -> app/ours" in str(refused.value)
    noroshi(cluster, "c", "definitions", "rollback", "chain")
    assert noroshi(cluster, "c", "definitions", "export") == text


def test_a_definition_that_names_a_node_which_left_is_told_until_it_is_mended(tmp_path: Path) -> None:
    definitions = "events:\n  - {name: one, match: {event: x}, notify: [{priority: 1, node: c}]}\n"
    with Cluster(tmp_path / "left", definitions=definitions) as cluster:
        cluster.start("a")
        cluster.await_leader()
        wait_until("seeded", lambda: "one" in noroshi(cluster, "a", "definitions", "export"))
        cluster.stop("a")
        text = cluster.layout.cluster.read_text()
        cluster.layout.cluster.write_text(text[: text.index("  c:")])
        cluster.start("a")
        wait_until("told", lambda: cluster.states().get("definition/one") == "WARNING")
        said = "definition one names c: not in cluster.yaml"
        assert said in noroshi(cluster, "a", "definitions", "check", status=1)
        noroshi(cluster, "a", "definitions", "remove", "one")
        wait_until("mended", lambda: cluster.states().get("definition/one") == "OK")
        assert noroshi(cluster, "a", "definitions", "check") == "0 definitions in force, no problem\n"


def test_repeated_until_acknowledged_over_a_take_over_and_recovered_to_who_heard(cluster: Cluster) -> None:
    file = cluster.root / "nagging.yaml"
    program = cluster.nodes["a"].program
    file.write_text(
        "events:\n  - name: nagging\n    match: {event: app/nag, state: ERROR}\n    repeat: 1s\n    recovery: true\n"
        f'    notify:\n      - {{priority: 1, node: a, procedure: process, application: ["{program}", nag]}}\n'
        f'      - {{priority: 2, node: b, procedure: process, application: ["{program}", nag]}}\n'
    )
    noroshi(cluster, "c", "definitions", "import", str(file))
    cluster.raise_on("c", "app/nag", "ERROR")
    wait_until("told twice", lambda: len(cluster.nodes["a"].told()) >= 2)
    old = cluster.await_leader()
    process = cluster.coordinator_process(old.node)
    assert process is not None
    process.kill()
    cluster.await_leader(not_term=old.term)
    told = len(cluster.nodes["a"].told())
    wait_until("told again by the next one", lambda: len(cluster.nodes["a"].told()) > told)
    assert "acknowledged by" in noroshi(cluster, "b", "ack", "app/nag", "--comment", "mine", "--for", "1h")
    (shown,) = [row for row in noroshi_json(cluster, "c", "status")["states"] if row["event"] == "app/nag"]
    assert shown["acknowledged"]["comment"] == "mine"
    assert "acknowledged by" in noroshi(cluster, "c", "status")
    wait_until("the last one is in", lambda: all(row.status == "delivered" for row in cluster.history("nagging")))
    told = len(cluster.nodes["a"].told())
    cluster.raise_on("c", "app/nag", "OK")
    wait_until("recovered", lambda: cluster.nodes["a"].told()[-1][2] == "OK")
    assert len(cluster.nodes["a"].told()) == told + 1
    assert cluster.nodes["b"].told() == []
    assert [row.notice for row in cluster.history("nagging")][-1] == "recovery"
    assert "no event app/none" in noroshi(cluster, "b", "ack", "app/none", status=1)
    number = cluster.history("nagging")[0].id
    assert "app/nag OK acknowledged" in noroshi(cluster, "b", "ack", str(number))
    noroshi(cluster, "b", "ack", "app/nag", "--withdraw")


def test_repaired_is_an_operators_event_and_twice_is_a_duplicate(cluster: Cluster) -> None:
    cluster.raise_on("c", "raid/c/md7", "ERROR", "sdb")
    wait_until("bad", lambda: cluster.states().get("raid/c/md7") == "ERROR")
    assert "raid/c/md7 OK, by " in noroshi(cluster, "c", "repaired", "raid/c/md7", "--comment", "disk replaced")
    assert cluster.states()["raid/c/md7"] == "OK"
    said = noroshi_json(cluster, "b", "events", "--event", "raid/c/md7")[-1]
    assert (said["node"], said["supplement"], bool(said["author"])) == ("c", "disk replaced", True)
    again = noroshi(cluster, "b", "repaired", "raid/c/md7", "--comment", "disk replaced")
    assert again == "raid/c/md7 was OK already\n"
    assert [event.count for event in cluster.events("raid/c/md7")] == [1, 2]
    assert "no event raid/c/md8" in noroshi(cluster, "b", "repaired", "raid/c/md8", status=1)


def test_a_limit_holds_back_and_one_summary_says_how_much(cluster: Cluster) -> None:
    file, program = cluster.root / "storm.yaml", cluster.nodes["a"].program
    file.write_text(
        "events:\n  - name: storm\n    match: {event: storm/*}\n    limit: {count: 3, within: 2s}\n"
        f'    notify:\n      - {{priority: 1, node: a, procedure: process, application: ["{program}", storm]}}\n'
    )
    noroshi(cluster, "c", "definitions", "import", str(file))
    burst(cluster, "c", [f"storm/{number}" for number in range(20)])
    wait_until("summary", lambda: [row for row in cluster.history("storm") if row.notice == "summary"])
    wait_until("four told", lambda: len(cluster.nodes["a"].told()) == 4)
    assert [told[1] for told in cluster.nodes["a"].told()][-1] == "held-back/storm"
    assert "17 held back, limit reached: storm/" in cluster.nodes["a"].told()[-1][3]
    assert sum(row.status == "held" for row in cluster.history("storm")) == 17
    assert "held-back/storm" not in cluster.states()


def burst(cluster: Cluster, node: str, names: list[str]) -> None:
    """All of these at once, so that one limit meets them whatever the machine does."""
    requests = [json.dumps({"event": name, "state": "BAD"}).encode() + b"\n" for name in names]
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(cluster.nodes[node].socket)
        agent.sendall(b"".join(requests))
        with agent.makefile() as answers:
            assert all(json.loads(answers.readline())["ok"] for _ in names)


def test_at_a_terminal_an_import_shows_the_difference_and_asks(cluster: Cluster) -> None:
    file = cluster.root / "asked.yaml"
    file.write_text("events:\n  - {name: asked, match: {event: asked/*}}\n")
    words = ["--config", str(cluster.nodes["c"].config), "definitions", "import", str(file)]
    for answer, status, known in ((b"n\n", 1, False), (b"y\n", 0, True)):
        shown, ended = at_a_terminal(words, answer)
        assert ended == status, shown
        assert "+ asked event" in shown
        assert ("asked" in noroshi(cluster, "c", "definitions", "export")) is known
