"""`noroshi demo`: a three-node cluster on loopback, in a temporary directory, gone when it ends.

In a terminal the console opens on it, with something happening in it; with --once, or without a terminal, the story is
played and every observation printed. Exit status 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict

from noroshi.console.demo.cluster import DemoCluster
from noroshi.console.demo.story import Step, Story
from noroshi.console.sanitise import visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="play the story and report, also in a terminal")
    parser.add_argument("--json", action="store_true", help="the story's observations as one object")


def run(arguments: argparse.Namespace) -> int:
    _end_on_signals()
    with DemoCluster() as cluster:
        cluster.start()
        if arguments.once or arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return _play(cluster, arguments.json)
        return _open(cluster)


def _play(cluster: DemoCluster, as_json: bool) -> int:
    steps: list[Step] = []
    for step in Story(cluster).play():
        steps.append(step)
        if not as_json:
            print(_line(step), flush=True)
    ok = all(step.ok for step in steps)
    if as_json:
        print(json.dumps({"ok": ok, "steps": [asdict(step) for step in steps]}, ensure_ascii=False))
    elif ok:
        print(f"all {len(steps)} observations held")
    if not ok:
        _explain(cluster)
    return 0 if ok else 1


def _line(step: Step) -> str:
    lines = [f"{'ok  ' if step.ok else 'FAIL'} {step.seconds:6.2f} s  {step.step}"]
    for key, value in step.seen.items():
        lines.append(f"                 {key}: {visible(json.dumps(value, ensure_ascii=False))}")
    return "\n".join(lines)


def _explain(cluster: DemoCluster) -> None:
    """What the daemons said last, for whoever has to find out why."""
    for node in cluster.files.nodes:
        print(f"--- {node.name}", file=sys.stderr)
        print("\n".join(map(visible, cluster.last_words(node.name).splitlines())), file=sys.stderr)


def _open(cluster: DemoCluster) -> int:
    from noroshi.console.app import run_console
    from noroshi.console.demo.life import Life

    node = cluster.files.nodes[0]
    print(f"starting; this cluster's node file is {node.config}", file=sys.stderr)
    with Life(cluster.files):
        return run_console(node.config)


def _end_on_signals() -> None:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: through every clean-up."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
