"""The sample cluster is right as it stands: both by the program and by the schemas its first lines name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from noroshi.store import definitions
from noroshi.store.config import Cluster, NodeConfig, check_pair, load_cluster, load_node
from noroshi.store.layout import Layout

SAMPLES = Path(__file__).parents[2] / "sample_config"
FILES = sorted(SAMPLES.rglob("*.yaml"))
NODES = sorted(SAMPLES.glob("node-*.yaml"))
FIRST_LINE = "# yaml-language-server: $schema="


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load_cluster(SAMPLES / "shared" / "cluster.yaml")


@pytest.fixture(scope="module")
def nodes() -> list[NodeConfig]:
    return [load_node(file) for file in NODES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_first_line_names_the_schema_and_the_schema_accepts_the_file(file: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith(FIRST_LINE)
    schema = json.loads((file.parent / first.removeprefix(FIRST_LINE)).read_text())
    assert file.name.startswith(schema["title"].removesuffix(".yaml"))
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(file.read_text()))


def test_every_node_of_the_cluster_has_its_file(cluster: Cluster, nodes: list[NodeConfig]) -> None:
    assert tuple(each.node for each in nodes) == cluster.names
    for node in nodes:
        assert check_pair(node, cluster) == []
        assert Layout(node.shared).cluster == SAMPLES / "shared" / "cluster.yaml"
        assert node.logs


def test_no_two_nodes_share_a_directory_of_their_own(nodes: list[NodeConfig]) -> None:
    own = [each for node in nodes for each in (node.state, node.run)]
    assert len(set(own)) == 2 * len(nodes)
    assert all(each.is_relative_to(SAMPLES) for each in own)


def test_every_program_of_the_definitions_may_be_started_where_it_is_sent(
    cluster: Cluster, nodes: list[NodeConfig]
) -> None:
    allowed = {node.node: node.notifier.programs for node in nodes}
    found = definitions.load(SAMPLES / "shared" / "definitions.yaml", cluster.names)
    assert found
    for destination in (each for definition in found for each in definition.notify):
        assert isinstance(destination.application, list)
        for node in (destination.node,) if destination.node else cluster.names:
            assert destination.application[0] in allowed[node]


def test_the_samples_are_a_copy_away_from_a_cluster_anywhere(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "copy", ignore=shutil.ignore_patterns("state", "run", "log", "noroshi.*"))
    node = load_node(tmp_path / "copy" / "node-db1.yaml")
    assert node.shared == tmp_path / "copy" / "shared"
    assert load_cluster(Layout(node.shared).cluster).names == ("db1", "db2", "db3")


def test_the_definitions_round_trip(cluster: Cluster) -> None:
    found = definitions.load(SAMPLES / "shared" / "definitions.yaml", cluster.names)
    text = definitions.export(found)
    assert definitions.parse(text, Path("export.yaml"), cluster.names) == definitions.ordered(found)
