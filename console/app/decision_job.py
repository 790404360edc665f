"""What an operator decided, asked of the coordinator as the commands ask it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.message import Message

from noroshi.console.app.messages import DecisionAnswered
from noroshi.console.app.reading import Job
from noroshi.console.commands.asking import ask_coordinator, lines_of, place
from noroshi.console.queries import Queries
from noroshi.node.wire.operating import Acknowledge, AddSilence
from noroshi.store.errors import NoroshiError

if TYPE_CHECKING:
    from noroshi.console.app.screens.deciding import Deciding


def decision_job(asked: Acknowledge | AddSilence, kind: str, by: Deciding) -> Job:
    """Ask whoever leads; `kind` names it with its article, `by` is told."""

    def job(queries: Queries) -> Iterator[Message]:
        try:
            lines = lines_of(ask_coordinator(place(queries.config), asked, kind.split()[-1]))
        except (NoroshiError, OSError) as error:
            yield DecisionAnswered(by, refused=str(error))
        else:
            yield DecisionAnswered(by, told="; ".join(lines))

    return job
