"""What the reading threads tell the app, as facts in the past tense; widgets' own messages stand beside the widgets."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from noroshi.console.queries import Leadership, Picture
from noroshi.store.views import Event, LogLine, ScanStep, Term


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
    """The job under this key could not read; it may be asked for again once the disk answers."""

    key: str
    why: str


@dataclass
class ReadingBroke(Message):
    """A reading thread met an error that is no trouble of the disk but ours."""

    error: Exception


@dataclass
class LinesRead(Message):
    """The lines asked for; those of `asked` that are missing in `lines` are gone."""

    asked: tuple[int, ...]
    lines: tuple[LogLine, ...]


@dataclass
class ScanStepped(Message):
    """The filter numbered `generation` went one step, back through what was there or on through what came."""

    generation: int
    backward: bool
    step: ScanStep


@dataclass
class PlaceFound(Message):
    """Where a jump leads: the id of a line, None where there is none."""

    number: int | None
    sought: str


@dataclass
class LogSaved(Message):
    """The lines of a filter were written to a file."""

    path: str
    count: int


@dataclass
class DetailRead(Message):
    """The whole of one line, what an event's name went through, or who led; for the detail that asked for it."""

    key: str
    line: LogLine | None = None
    events: tuple[Event, ...] = ()
    terms: tuple[Term, ...] = ()


@dataclass
class TextSent(Message):
    """Text went to the clipboard; no terminal says whether it arrived."""

    way: str
    size: int
