"""The JSON of the definitions where the terminal, or a pipe under LANG=C, takes no UTF-8."""

from __future__ import annotations

import io
import json
from pathlib import Path

import apsw
import pytest
from filling import define, fill, layout_of

from noroshi.console.main import main

BEFORE = "events:\n  - {name: one, match: {event: app/x, state: [ERROR, kaputt]}}\n"
AFTER = BEFORE.replace("kaputt", "zerstört 🔥")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_it_is_json_in_any_encoding(filled: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    def asked(*words: str) -> str:
        raw = io.BytesIO()
        with monkeypatch.context() as patched:
            stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
            patched.setattr("sys.stdout", stream)
            assert main(["--config", str(filled), "definitions", *words]) == 0
            stream.detach()
        return raw.getvalue().decode(encoding)

    def now(text: str) -> None:
        def taken(connection: apsw.Connection) -> None:
            define(connection, text)

        fill(layout_of(filled), taken)

    now(BEFORE)
    file = filled.with_name("after.yaml")
    file.write_text(AFTER, encoding="utf-8")
    difference = json.loads(asked("import", "--dry-run", "--json", str(file)))
    assert "zerstört 🔥" in "".join(difference["changed"])
    now(AFTER)
    exported = asked("export", "--json")
    assert json.loads(exported)["state"] == ["ERROR", "zerstört 🔥"]
    assert exported.startswith('{"name":"one",'), "as compact as the database keeps it"
