"""The two threads that read: one watches for change, one does what the operator asked for.

Rules: they see the system through `Queries` alone and speak through `post` alone. They are daemon threads of our own,
not workers of an executor: a disk that hangs holds a thread for ever, and quitting must not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from textual.message import Message

from noroshi.console.app.claimants import Claimants
from noroshi.console.app.messages import JobFailed, LeadershipSeen, PictureRead, ReadingBroke
from noroshi.console.queries import Leadership, Queries
from noroshi.store.clock import now_us
from noroshi.store.errors import NoDatabase, NoroshiError

POLL = 0.5
"""Seconds between two looks; a look at an unchanged database costs some 0.1 ms."""

TROUBLES = (NoroshiError, OSError, UnicodeError)
"""What a disk, or damage on it, can cause."""

Post = Callable[[Message], object]
Job = Callable[[Queries], Iterator[Message | None]]
"""Yields a message, or None where a step has nothing to tell."""


@dataclass(frozen=True)
class Health:
    """How reading goes. `answered` is monotonic, `answered_at` microseconds UTC, both None before the first answer.

    `trouble` is empty while all is well; `no_database` says the trouble is only that none was made yet, `fault` that it
    is none of the disk but ours. `unheard_by`: nodes that run and do not hear whoever holds the role.
    """

    answered: float | None = None
    answered_at: int | None = None
    trouble: str = ""
    no_database: bool = False
    unheard_by: tuple[str, ...] = ()
    fault: bool = False


def in_words(fault: Exception) -> str:
    """An error that is ours, in a line."""
    return f"{type(fault).__name__}: {fault}"


class _Reader(threading.Thread):
    def __init__(self, queries: Queries, post: Post) -> None:
        super().__init__(daemon=True, name=type(self).__name__)
        self._queries = queries
        self._post = post
        self._ended = threading.Event()

    def stop(self) -> None:
        """Ask it to end; it may hang in the disk, so nobody waits."""
        self._ended.set()

    def _tell(self, message: Message) -> None:
        if self._ended.is_set():
            return
        try:
            self._post(message)
        except RuntimeError:  # the app's loop closed between the look and the call
            if not self._ended.is_set():
                raise


class Watcher(_Reader):
    """Looks at the fingerprint and the lock, and reads anew when one of them changed.

    `health` may be read from any thread at any time: it is how a disk that does not answer at all is noticed.
    """

    def __init__(self, queries: Queries, post: Post, interval: float = POLL) -> None:
        super().__init__(queries, post)
        self._interval = interval
        self._seen: Hashable = None
        self._leadership: Leadership | None = None
        self._claimants = Claimants()
        self.health = Health()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._look()
                unheard_by = self._claimants.look(self._queries.claims(), time.monotonic())
                self.health = Health(time.monotonic(), now_us(), unheard_by=unheard_by)
            except TROUBLES as error:
                self._note(str(error), no_database=isinstance(error, NoDatabase))
            except Exception as error:  # what is shown stays, and it is tried again: a console that ends shows nothing
                if not self.health.fault:
                    self._tell(ReadingBroke(error))
                self._note(in_words(error), fault=True)
            self._ended.wait(self._interval)

    def _note(self, trouble: str, *, no_database: bool = False, fault: bool = False) -> None:
        self._seen = None
        self.health = Health(self.health.answered, self.health.answered_at, trouble, no_database, fault=fault)

    def _look(self) -> None:
        seen = self._queries.fingerprint()
        leadership = self._queries.leadership()
        if leadership != self._leadership:
            self._tell(LeadershipSeen(leadership, now_us()))
            self._leadership = leadership
        if seen != self._seen:
            self._tell(PictureRead(self._queries.picture()))
            self._seen = seen


class Fetcher(_Reader):
    """Does jobs in steps, each in turn, so that a long search never holds up a page.

    A job is a generator of messages; each step is one bounded reading. A job under a key takes the place of the one
    before it under that key.
    """

    def __init__(self, queries: Queries, post: Post) -> None:
        super().__init__(queries, post)
        self._jobs: dict[str, Iterator[Message | None]] = {}
        self._changed = threading.Condition()

    def submit(self, key: str, job: Job) -> None:
        """Begin `job` as soon as the thread is free."""
        with self._changed:
            self._jobs.pop(key, None)
            self._jobs[key] = job(self._queries)
            self._changed.notify()

    def has(self, key: str) -> bool:
        """Whether a job under `key` is under way."""
        return key in self._jobs

    def cancel(self, key: str) -> None:
        """Forget the job under `key`; its step under way still ends, and is not told."""
        with self._changed:
            self._jobs.pop(key, None)

    def stop(self) -> None:
        super().stop()
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        while (taken := self._next()) is not None:
            key, job = taken
            try:
                message = next(job)
            except StopIteration:
                self._drop(key, job)
            except TROUBLES as error:
                self._drop(key, job)
                self._tell(JobFailed(key, str(error)))
            except Exception as error:
                self._drop(key, job)
                self._tell(JobFailed(key, in_words(error), fault=True))  # else who asked would wait for ever
                self._tell(ReadingBroke(error))
            else:
                if message is not None and self._jobs.get(key) is job:
                    self._tell(message)

    def _next(self) -> tuple[str, Iterator[Message | None]] | None:
        """The job whose turn it is, which goes to the end of the line; None once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._ended.is_set())
            if self._ended.is_set():
                return None
            key = next(iter(self._jobs))
            self._jobs[key] = job = self._jobs.pop(key)
            return key, job

    def _drop(self, key: str, job: Iterator[Message | None]) -> None:
        with self._changed:
            if self._jobs.get(key) is job:
                del self._jobs[key]
