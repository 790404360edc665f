"""What the reading threads tell the app, as facts in the past tense; widgets' own messages stand beside the widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from noroshi.console.app.tables import Found, Numbered
from noroshi.console.queries import Leadership, Picture
from noroshi.store.views import Event, LogLine, Term, WholeHolding, WholeNotification

if TYPE_CHECKING:
    from noroshi.console.app.screens.deciding import Deciding


@dataclass
class PictureRead(Message):
    """The database changed and was read anew."""

    picture: Picture


@dataclass
class LeadershipSeen(Message):
    """Who holds the role now; `at` microseconds UTC."""

    leadership: Leadership
    at: int


@dataclass
class JobFailed(Message):
    """The job under this key could not read; it may be asked for again once the disk answers.

    `fault`: the error is ours, and would come again at once.
    """

    key: str
    why: str
    fault: bool = False


@dataclass
class ReadingBroke(Message):
    """A reading thread met an error that is no trouble of the disk but ours; it goes on."""

    error: Exception


@dataclass
class RowsRead(Message):
    """The rows of a table that were asked for; those of `asked` that are missing in `rows` are gone."""

    table: str
    asked: tuple[int, ...]
    rows: tuple[Numbered, ...]


@dataclass
class ScanStepped(Message):
    """The filter numbered `generation` went one step, back through what was there or on through what came."""

    generation: int
    backward: bool
    found: Found


@dataclass
class LookedAgain(Message):
    """Of the rows `asked`, which may have changed since the filter passed them, these match now; `open`: may still."""

    generation: int
    asked: tuple[int, ...]
    matching: tuple[int, ...]
    open: tuple[int, ...]


@dataclass
class PlaceFound(Message):
    """Where a jump in a table leads: the id of a row, None where there is none."""

    table: str
    number: int | None
    sought: str


@dataclass
class RowsSaved(Message):
    """What a filter found was written to a file; `count` as it is told."""

    path: str
    count: str


@dataclass
class DetailRead(Message):
    """The whole of one row, what an event's name went through, who led, or what holds notifications back; for the
    detail that asked for it."""

    key: str
    line: LogLine | None = None
    events: tuple[Event, ...] = ()
    terms: tuple[Term, ...] = ()
    notification: WholeNotification | None = None
    holding: WholeHolding | None = None


@dataclass
class DecisionAnswered(Message):
    """The coordinator did it, saying so in `told`; or it was not done, and `refused` says why and what to do.

    `by` is what asked.
    """

    by: Deciding
    told: str = ""
    refused: str = ""


@dataclass
class Answered(Message):
    """What a screen asked the asking thread; `answer` is one of `definition_jobs`."""

    screen: object
    answer: object
