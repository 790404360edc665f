"""Why the engine and duplicate control decided as they did, by name.

Role: the text stored with an attempt, a notification or an event, and shown to people as it stands.
Rules: a stored reason is one of these phrases, or the phrase, a colon and what it was in this case (`because`); so it
reads as a sentence and `named` still tells programs which decision it was. What a node says in its own answer is
kept as the node said it.
"""

from __future__ import annotations

from enum import StrEnum

LIMIT = 400
"""Characters; the longest text put together from others'."""


class Reason(StrEnum):
    """Every decision that is stored."""

    # an attempt
    NODE_DOWN = "node is down"
    NODE_STOPPED = "node is stopped"
    WENT_DOWN = "node went down before it answered"
    WAS_STOPPED = "node was stopped before it answered"
    NO_ANSWER = "no answer within the time limit"
    ANSWERED = "the node answered"
    """The node gave no reason of its own."""

    # a notification
    ONE_DELIVERED = "a destination delivered"
    ALL_DELIVERED = "every live destination delivered"
    NO_GROUP_LEFT = "no group left"
    FAILURE_UNTOLD = "no group left for a notification failure"
    TEST_FAILED = "a test, and no group left"

    # held back, no attempt made
    SILENCED = "silenced"
    FLAPPING = "flapping"
    LIMITED = "the definition's limit is reached"
    LIMITED_OVERALL = "the overall limit is reached"

    # the end of an acknowledgement
    REPLACED = "replaced by another acknowledgement"
    WITHDRAWN = "withdrawn"
    EXPIRED = "its time is over"
    STATE_CHANGED = "the state changed"

    # duplicate control
    SAME = "same state and supplement as the current one"
    OLDER = "older than the current one of the same node"
    NEW_NAME = "first of its name"
    CHANGED = "state or supplement changed"
    ALLOWED = "same as the current one, duplicates allowed"


def because(reason: Reason, detail: str = "") -> str:
    """The text to store: the phrase, and behind a colon what it was this time."""
    return f"{reason.value}: {shorten(detail)}" if detail else reason.value


def named(text: str) -> Reason | None:
    """Which decision a stored text names; None for a node's own words."""
    phrase, _, _ = text.partition(":")
    try:
        return Reason(phrase)
    except ValueError:
        return None


def shorten(text: str, limit: int = LIMIT) -> str:
    """At most `limit` characters, the last of them an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def seconds(duration: float) -> str:
    """A duration for people: 10s, 0.5s."""
    return f"{duration:g}s"
