"""What the cores cost: an event against 1,000 definitions, and a notification from Notify to Closed.

Role: run by hand, `python tests/bench/engine.py`; prints microseconds, beside a bare loop over dicts and lists that
keeps the same books without deciding anything. No I/O is measured.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from itertools import count
from time import perf_counter

from noroshi.node.core.duplicates import Observed, judge
from noroshi.node.core.engine import Answered, Engine, NodeChanged, Notify, Subject
from noroshi.node.core.matching import Matcher, match_event
from noroshi.store.model import Definition, Destination

BURST = 10_000
ROUNDS = 3
SHAPES = (
    "raid/db{0}/**",
    "app/orders{0}",
    "app/*/step{0}",
    "unit/*/service{0}.service",
    "**/volume{0}",
    "link/*/eth{0}",
)
SUBJECT = Subject("event", "raid/db1/md0 DEGRADED", b"{}", event_id=1)
NOTIFY = (Destination(1, "db2", "process", ["page"]), Destination(2, "db3", "process", ["page"]))


def definitions(number: int) -> list[Definition]:
    """Of six shapes in turn, so that most names meet patterns that fit by half."""
    return [
        Definition(name=f"d{one}", kind="event", event=SHAPES[one % len(SHAPES)].format(one), notify=NOTIFY)
        for one in range(number)
    ]


def best(work: Callable[[], int]) -> float:
    """Microseconds for each of what `work` counts; the best of some rounds, each from a clean heap."""
    taken = []
    for _ in range(ROUNDS):
        gc.collect()
        began = perf_counter()
        done = work()
        taken.append((perf_counter() - began) / done * 1e6)
    return min(taken)


def show(what: str, work: Callable[[], int]) -> None:
    print(f"{best(work):10.2f} us  {what}")


def consume(some: Iterable[object], done: int) -> int:
    for _ in some:
        pass
    return done


# --- an event against 1,000 definitions ----------------------------------------------------------------------------


def bench_matching() -> None:
    defined = definitions(1_000)
    names = [f"raid/db{one % 1000}/md{one % 7}" for one in range(BURST)]
    fresh = (f"app/{one}/step{one % 1000}" for one in count())
    current = Observed("OK", "", "db1", 0)
    report = Observed("ERROR", "", "db1", 1)
    matcher = Matcher(defined)

    def once() -> int:
        return consume((matcher.event(name, "ERROR") for name in names), BURST)

    def never_seen() -> int:
        return consume((matcher.event(next(fresh), "ERROR") for _ in range(2_000)), 2_000)

    def with_duplicates() -> int:
        return consume((judge(report, current, matcher.event(name, "ERROR")) for name in names), BURST)

    def plain() -> int:
        return consume((match_event(defined, name, "ERROR") for name in names[:50]), 50)

    print("one event, 1,000 definitions")
    show("matched by a name seen before", once)
    show("matched by a name never seen", never_seen)
    show("matched and judged for duplicates", with_duplicates)
    show("(every definition tried in a loop)", plain)


# --- notifications -------------------------------------------------------------------------------------------------


def new_engine() -> Engine:
    numbers = count(1)
    return Engine("db1", 2.0, lambda: str(next(numbers)))


DEFINITION = Definition(name="disk", kind="event", notify=NOTIFY, version=1)


def one_at_a_time() -> int:
    engine = new_engine()
    for number in range(1, BURST + 1):
        engine.handle(Notify(DEFINITION, SUBJECT), 0.0)
        engine.handle(Answered(str(number), "delivered"), 0.0)
    return BURST


def all_at_once() -> int:
    engine = new_engine()
    for _ in range(BURST):
        engine.handle(Notify(DEFINITION, SUBJECT), 0.0)
    for number in range(1, BURST + 1):
        engine.handle(Answered(str(number), "delivered"), 0.0)
        engine.next_deadline()
    return BURST


def all_time_out_twice() -> int:
    engine = new_engine()
    for _ in range(BURST):
        engine.handle(Notify(DEFINITION, SUBJECT), 0.0)
    engine.tick(100.0)
    engine.tick(200.0)
    return BURST


def all_lose_their_node() -> int:
    engine = new_engine()
    for _ in range(BURST):
        engine.handle(Notify(DEFINITION, SUBJECT), 0.0)
    engine.handle(NodeChanged("db2", "DOWN"), 0.0)
    return BURST


def bare() -> int:
    """The same books kept by hand: open, start, end, close, each a tuple in a list, the delivery in a dict."""
    under_way: dict[str, tuple[int, str]] = {}
    for number in range(1, BURST + 1):
        under_way[str(number)] = (number, "db2")
        actions: list[object] = [("opened", number, "disk", 1, SUBJECT)]
        actions.append(("started", number, str(number), 1, "db2", "process", ["page"], 10.0, b"{}"))
    for number in range(1, BURST + 1):
        notification, _node = under_way.pop(str(number))
        actions = [("ended", notification, str(number), "delivered", "")]
        actions.append(("closed", notification, "delivered", ""))
    return BURST


def bench_notifications() -> None:
    print(f"one notification of {BURST:,}")
    show("delivered at the first try, one at a time", one_at_a_time)
    show("delivered at the first try, all under way at once", all_at_once)
    show("timed out on both groups, failed", all_time_out_twice)
    show("its node went down, sent to the next group", all_lose_their_node)
    show("(bare dict and lists, all under way at once)", bare)


if __name__ == "__main__":
    bench_matching()
    bench_notifications()
