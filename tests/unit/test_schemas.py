"""The JSON Schemas judge files as the program does, but for what a schema cannot see."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from yaml_cases import (
    CLUSTER,
    CLUSTER_MISTAKES,
    DEFINITION_MISTAKES,
    DEFINITIONS,
    NODE,
    NODE_MISTAKES,
    SMALL_NODE,
)

from noroshi.store import definitions, kinds
from noroshi.store.config import MONITORS, load_cluster, load_node
from noroshi.store.config.monitors import COMMAND, COMMAND_FIELDS
from noroshi.store.errors import ConfigError
from noroshi.store.validation import Field

KINDS = ("cluster", "node", "definitions")

BEYOND_A_SCHEMA = (
    "must be from 50ms to 10m",
    "must be from 100ms to 10m",
    "must be from 100ms to 1d",
    "must be from 1ms to 1h",
    "must be from 1s to 30d",
    "must be from 1s to 1d",
    "must be more than suspect",
    "must be from 2MiB to 1TiB",
    "must be from 8MiB to 1TiB",
    "must be from 10s to 30d",
    "must be from 1h to 3650d",
    "must be from 1d to 3650d",
    "must be from 1m to 3650d",
    "unknown encoding",
    "none in which a newline is the byte 0x0A",
    "overlap those of",
    "must not be above error",
    "is the shared directory",
    "a second definition",
    "Possible nested set",
    "must be from 1s to 30d",
    "must be from 100ms to 1h",
    "is not an IP address",
    "a second command named",
)
"""What takes several values, a sum or the machine to see; every other message has its rule in the schema."""

NOT_AS_WRITTEN = ("is not YAML", "stands twice", "here is 2.0", "here is 1:30", "control character", "surrogate")
"""Gone by the time a schema sees the values."""


def schema(kind: str) -> Any:
    text = resources.files("noroshi.store").joinpath("schemas", f"{kind}.schema.json").read_text()
    return json.loads(text)


def validator(kind: str) -> jsonschema.Draft7Validator:
    checker = jsonschema.FormatChecker(["regex"])
    checker.checks("regex", raises=(re.error, OverflowError, RecursionError, Warning))(_compiles)
    return jsonschema.Draft7Validator(schema(kind), format_checker=checker)


def _compiles(value: object) -> bool:
    return not isinstance(value, str) or re.compile(value) is not None


def loader(kind: str) -> Callable[[Path], object]:
    readers = {"cluster": load_cluster, "node": load_node, "definitions": lambda file: definitions.load(file, None)}
    return readers[kind]


def by_schema(kind: str, text: str) -> str:
    """ "" or what the schema says is wrong."""
    return "; ".join(error.message for error in validator(kind).iter_errors(yaml.safe_load(text)))


def by_program(kind: str, directory: Path, text: str) -> str:
    """ "" or what the program says is wrong."""
    file = directory / "file.yaml"
    file.write_text(text)
    try:
        loader(kind)(file)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_itself_is_valid_draft_07(kind: str) -> None:
    assert schema(kind)["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema(kind))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("cluster", CLUSTER), ("node", NODE), ("node", SMALL_NODE), ("definitions", DEFINITIONS), ("definitions", "")],
)
def test_both_accept_what_is_right(kind: str, text: str, tmp_path: Path) -> None:
    assert by_schema(kind, text) == ""
    assert by_program(kind, tmp_path, text) == ""


_MISTAKES = [
    *(("cluster", text, says) for text, _, says, _ in CLUSTER_MISTAKES),
    *(("node", f"{SMALL_NODE}{line}\n", says) for line, _, says, _ in NODE_MISTAKES),
    *(("definitions", text, says) for text, _, says, _ in DEFINITION_MISTAKES),
]


@pytest.mark.parametrize(("kind", "text", "says"), _MISTAKES)
def test_both_refuse_what_is_wrong(kind: str, text: str, says: str, tmp_path: Path) -> None:
    program = by_program(kind, tmp_path, text)
    assert says in program
    if any(each in program for each in NOT_AS_WRITTEN):
        return
    assert bool(by_schema(kind, text)) or any(each in program for each in BEYOND_A_SCHEMA)


# --- one change to a right file, everywhere and of every sort ------------------------------------------------------

_VALUES = [None, True, False, 0, 1, 5, 70_000, -1, 1.5, "", "x", "a b", "10s", "0s", "~/x", "/x", "tcp://h:1", "0x1f"]
_SHAPES: list[Any] = [[], ["x"], ["/x", "y"], [1], {}, {"key": 1}, {"x": 1}, [{}]]


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield from _paths(tree[key], (*path, key))


def _changed(tree: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    whole = {"root": copy.deepcopy(tree)}
    parent: Any = whole
    *before, last = ("root", *path)
    for key in before:
        parent = parent[key]
    change(parent, last)
    return whole["root"]


def _variants(tree: Any) -> Iterator[Any]:
    for path in _paths(tree):
        for value in [*_VALUES, *_SHAPES]:
            yield _changed(tree, path, lambda parent, key, value=value: parent.__setitem__(key, copy.deepcopy(value)))
        if path:
            yield _changed(tree, path, lambda parent, key: parent.pop(key))
            yield _changed(tree, path, _with_unknown_key)


def _with_unknown_key(parent: Any, key: Any) -> None:
    if isinstance(parent, dict):
        parent["unknown"] = parent[key]


@pytest.mark.parametrize(("kind", "text"), [("cluster", CLUSTER), ("node", NODE), ("definitions", DEFINITIONS)])
def test_both_judge_every_small_change_alike(kind: str, text: str, tmp_path: Path) -> None:
    judge = validator(kind)
    apart = []
    for variant in _variants(yaml.safe_load(text)):
        program = by_program(kind, tmp_path, json.dumps(variant))
        wrong = not judge.is_valid(variant)
        beyond = program and any(each in program for each in (*BEYOND_A_SCHEMA, "too long for a socket"))
        if wrong != bool(program) and (wrong or not beyond):
            apart.append((variant, program))
    assert apart == []


def test_the_schema_knows_every_monitor_and_option() -> None:
    known = schema("node")["properties"]["monitors"]["properties"]
    assert set(known.pop(COMMAND)["items"]["properties"]) == set(COMMAND_FIELDS)
    assert set(known) == set(MONITORS)
    for name, monitor in MONITORS.items():
        assert set(known[name]["anyOf"][1]["properties"]) == set(monitor.fields)


def test_the_defaults_of_the_schema_are_those_of_the_program() -> None:
    known = schema("node")["properties"]["monitors"]["properties"]
    commands = known.pop(COMMAND)["items"]["properties"]
    for fields, said in [
        (COMMAND_FIELDS, commands),
        *((monitor.fields, known[name]["anyOf"][1]["properties"]) for name, monitor in MONITORS.items()),
    ]:
        assert {option: _default(fields[option]) for option in said} == {
            option: each.get("default") for option, each in said.items()
        }


def _default(field: Field) -> object:
    """As a schema writes it; what is required, empty or nothing has none."""
    match field.default:
        case float(seconds):
            return kinds.format_duration(seconds)
        case Path() as path:
            return str(path)
        case int(number):
            return number
    return None
