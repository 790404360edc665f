"""What the definitions screens ask for, as jobs of the asking thread: to read, to check, to change by the coordinator.

Rules: a job yields `Answered` for the screen that asked; what the disk, the cluster file or the coordinator can do to
it comes as `Failed`, so that no screen waits for ever. A change is asked once and never repeated by itself; where no
answer came the versions are read again, for it may have been made all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from noroshi.console.app import drafts
from noroshi.console.app.draft import Base, Checked, as_rehearsed, check, rehearse, sample
from noroshi.console.app.drafts import Claim, Draft
from noroshi.console.app.messages import Answered
from noroshi.console.app.reading import TROUBLES, Job, in_words
from noroshi.console.commands import asking, testing
from noroshi.console.commands.asking import Place
from noroshi.console.queries import Queries
from noroshi.store import views
from noroshi.store.changes import unversioned
from noroshi.store.clock import now_us
from noroshi.store.connection import Connection
from noroshi.store.errors import NoroshiError
from noroshi.store.explain import EventAsked, Facts, LineAsked
from noroshi.store.model import Definition
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.views import Notification

if TYPE_CHECKING:
    from noroshi.node.wire.messages import RequestBody


@dataclass(frozen=True)
class Heads:
    """Every definition as it is now, removed ones too."""

    rows: tuple[VersionRow, ...]


@dataclass(frozen=True)
class Permission:
    """Whether this operator can change anything; `refused` says why not, empty where nothing is known against it."""

    refused: str


@dataclass(frozen=True)
class Opened:
    """What an edit begins with: `base` as it is now, the draft that was kept of it, and what that was begun on.

    Whoever takes it ends the `claim` on the draft's file.
    """

    base: Base
    kind: str
    cluster: str
    first_node: str
    claim: Claim
    draft: Draft | None
    before_draft: Definition | None


@dataclass(frozen=True)
class DraftChecked:
    """`not_kept`: why the draft could not be kept, empty where it was, None where it was not to be. `elsewhere`:
    processes that edit the same."""

    checked: Checked
    not_kept: str | None
    elsewhere: tuple[int, ...]


@dataclass(frozen=True)
class Rehearsed:
    """Who would be told now by `definition`."""

    definition: Definition
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Versions:
    """Every version of one definition, oldest first."""

    name: str
    rows: tuple[VersionRow, ...]


@dataclass(frozen=True)
class Done:
    """The coordinator has done it."""

    what: str


@dataclass(frozen=True)
class Conflict:
    """Somebody else was faster: `theirs` is the newest version, `base` the definition that was seen, `mine` refused."""

    theirs: VersionRow
    base: Definition | None
    mine: Definition | None


@dataclass(frozen=True)
class Tested:
    """How the deliveries of a test go."""

    rows: tuple[Notification, ...]
    over: bool


@dataclass(frozen=True)
class Failed:
    """It could not be done: `what` failed and why; `key` is that of the job."""

    key: str
    what: str


Answer = Heads | Permission | Opened | DraftChecked | Rehearsed | Versions | Done | Conflict | Tested | Failed
Steps = Callable[[Queries], Iterator[Answer]]


def answering(screen: object, key: str, steps: Steps) -> Job:
    """A job that tells `screen` each answer, and what failed; `key` is the one it is submitted under."""

    def job(queries: Queries) -> Iterator[Message]:
        try:
            for answer in steps(queries):
                yield Answered(screen, answer)
        except TROUBLES as error:
            yield Answered(screen, Failed(key, str(error)))
        except Exception as error:  # ours: the screen is told, and the thread hands it over
            yield Answered(screen, Failed(key, in_words(error)))
            raise

    return job


# --- reading -------------------------------------------------------------------------------------------------------


def heads(queries: Queries) -> Iterator[Answer]:
    """The table."""
    yield Heads(queries.ask(views.definition_heads))


def permission(queries: Queries) -> Iterator[Answer]:
    """With `security: curve` only who may read the node's secret key is heard by the coordinator."""
    from noroshi.node.wire.keyring import keyring_of

    at = asking.place(queries.config)
    try:
        keyring_of(at.node, at.cluster)
    except (NoroshiError, OSError) as error:
        yield Permission(str(error))
        return
    yield Permission("")


def versions(name: str) -> Steps:
    """Who changed it, when."""

    def steps(queries: Queries) -> Iterator[Answer]:
        yield Versions(name, queries.ask(lambda c: views.definition_versions(c, name)))

    return steps


def opening(name: str | None, kind: str) -> Steps:
    """What is there to edit; `name` None: a new one of that kind."""

    def steps(queries: Queries) -> Iterator[Answer]:
        cluster = asking.place(queries.config).cluster
        rows = () if name is None else queries.ask(lambda c: views.definition_versions(c, name))
        claim = drafts.claim(cluster.name, name, kind)
        draft = claim.find()
        begun_on = [row.definition for row in rows if draft is not None and row.version == draft.seen]
        base = Base(name, rows[-1].version, rows[-1].definition) if rows else Base(name, 0, None)
        yield Opened(base, kind, cluster.name, cluster.names[0], claim, draft, begun_on[0] if begun_on else None)

    return steps


def rehearsing(one: Definition) -> Steps:
    """Who would be told now."""

    def steps(queries: Queries) -> Iterator[Answer]:
        yield _rehearsed(queries, one)

    return steps


def checking(draft: Draft, base: Base, claim: Claim, *, keep: bool) -> Steps:
    """What is wrong with the text, then who would be told; the draft is kept first, whatever becomes of the rest."""

    def steps(queries: Queries) -> Iterator[Answer]:
        not_kept = _keep(claim, draft) if keep else None
        at = asking.place(queries.config)
        rows = queries.ask(views.definition_heads)
        newest = {row.name: row.version for row in rows}
        there = {row.name for row in rows if row.definition is not None}
        checked = check(draft.text, base, at.cluster.names, newest, there)
        yield DraftChecked(checked, not_kept, claim.elsewhere())
        if checked.definition is not None:
            yield _rehearsed(queries, checked.definition)

    return steps


def _keep(claim: Claim, draft: Draft) -> str:
    try:
        claim.keep(draft)
    except OSError as error:
        return str(error)
    return ""


def _rehearsed(queries: Queries, one: Definition) -> Rehearsed:
    leadership = queries.leadership()
    own = leadership.leader.node if leadership.held and leadership.leader else None
    cluster = asking.place(queries.config).cluster

    def known(connection: Connection) -> tuple[EventAsked | LineAsked, Facts, tuple[views.State, ...]]:
        present = views.states(connection)
        asked = sample(one, present, own or min(cluster.names, default=""))
        event = asked.event if isinstance(asked, EventAsked) else None
        members, instead = cluster.names, (as_rehearsed(one),)
        return asked, views.facts(connection, event, members, own, now_us(), cluster.limit, instead), present

    return Rehearsed(one, tuple(rehearse(one, *queries.ask(known))))


# --- changing ------------------------------------------------------------------------------------------------------


def saving(text: str, one: Definition, base: Base) -> Steps:
    """Save the definition that `text` is, with the version seen."""

    def steps(queries: Queries) -> Iterator[Answer]:
        from noroshi.node.wire.messages import ImportDefinitions

        note = "edited in the console" if base.definition else "added in the console"
        body = ImportDefinitions(text, "the console", asking.author(), seen={one.name: base.seen}, note=note)
        yield _changed(asking.place(queries.config), queries, body, one.name, base, one)

    return steps


def removing(one: Definition) -> Steps:
    """Remove this version of it."""

    def steps(queries: Queries) -> Iterator[Answer]:
        from noroshi.node.wire.operating import RemoveDefinitions

        body = RemoveDefinitions({one.name: one.version}, asking.author())
        yield _changed(asking.place(queries.config), queries, body, one.name, Base(one.name, one.version, one), None)

    return steps


def rolling_back(wanted: Definition, base: Base) -> Steps:
    """Make an older version the newest; `base` is the newest that was seen."""

    def steps(queries: Queries) -> Iterator[Answer]:
        from noroshi.node.wire.operating import RollBack

        body = RollBack(wanted.name, wanted.version, base.seen, asking.author())
        yield _changed(asking.place(queries.config), queries, body, wanted.name, base, wanted)

    return steps


def _changed(
    at: Place, queries: Queries, body: RequestBody, name: str, base: Base, wanted: Definition | None
) -> Answer:
    from noroshi.node.wire.messages import Refused

    try:
        reply = asking.reply_of_coordinator(at, body)
    except NoroshiError:
        newest = queries.ask(lambda c: views.definition_versions(c, name))[-1:]
        if newest and newest[0].version > base.seen and _same(newest[0], wanted):
            return Done(f"{name} v{newest[0].version}")  # it was made, and only the answer was lost
        raise
    if not isinstance(reply, Refused):
        newest = queries.ask(lambda c: views.definition_versions(c, name))[-1:]
        return Done(f"{name} v{newest[0].version}" if newest else name)
    if reply.code != "conflict":
        raise NoroshiError("the coordinator refused it", why=reply.message, hint=reply.hint)
    rows = queries.ask(lambda c: views.definition_versions(c, name))
    seen = next((row.definition for row in rows if row.version == base.seen), None)
    return Conflict(rows[-1], seen, wanted)


def _same(row: VersionRow, wanted: Definition | None) -> bool:
    there = row.definition and unversioned(row.definition)
    return row.author == asking.author() and there == (wanted and unversioned(wanted))


def trying(name: str) -> Steps:
    """Deliver a marked test to each destination, and tell how it goes."""

    def steps(queries: Queries) -> Iterator[Answer]:
        from noroshi.node.wire.operating import Begun, RunTest

        at = asking.place(queries.config)
        reply = asking.ask_coordinator(at, RunTest(name, asking.author()), "test")
        begun = frozenset(reply.notifications) if isinstance(reply, Begun) else frozenset()
        for rows in testing.watch(at, begun, name):
            yield Tested(rows, testing.is_over(rows, begun))

    return steps
