"""What operators ask of the coordinator: tests, versions, acknowledgements, silences (spec 7).

Rules: bodies of a `Request`, as in `messages.py`. `author` is the user as the asking node knows them; durations are
seconds from the moment the coordinator takes the request.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Name = Annotated[str, msgspec.Meta(max_length=256)]
Words = Annotated[str, msgspec.Meta(max_length=2000)]
Duration = Annotated[float, msgspec.Meta(gt=0, le=10 * 365 * 86400)]


class RunTest(msgspec.Struct, frozen=True, tag="test"):
    """Deliver a marked test to each destination of the definition `name`; answered by Begun."""

    name: Name
    author: Name


class RollBack(msgspec.Struct, frozen=True, tag="roll-back"):
    """Make `version` of a definition the newest one; 0: the one before the newest. `seen` is the newest one seen."""

    name: Name
    version: int
    seen: int
    author: Name


class RemoveDefinitions(msgspec.Struct, frozen=True, tag="remove"):
    """Remove the definitions named; the newest version of each as it was seen."""

    seen: dict[Name, int]
    author: Name


class Acknowledge(msgspec.Struct, frozen=True, tag="acknowledge"):
    """Take on an event, or that of a notification (`event` empty); `duration` None: as long as its state lasts.

    `withdraw` gives it back.
    """

    event: Name
    notification: int
    author: Name
    comment: Words = ""
    duration: Duration | None = None
    withdraw: bool = False


class Repaired(msgspec.Struct, frozen=True, tag="repaired"):
    """An operator says that `event` is in `state` now (spec 2.1); `comment` is its supplement."""

    event: Name
    state: Name
    comment: Words
    author: Name


class AddSilence(msgspec.Struct, frozen=True, tag="silence"):
    """Notify nothing that `pattern` covers, or nothing of `node` (maintenance): one of the two is empty.

    It begins `wait` seconds from now, and lasts `duration` from then on.
    """

    pattern: Words
    node: Name
    author: Name
    comment: Words
    duration: Duration
    wait: Annotated[float, msgspec.Meta(ge=0, le=10 * 365 * 86400)] = 0.0


class EndSilence(msgspec.Struct, frozen=True, tag="end-silence"):
    """End silence `number`, or every maintenance of `node`; what is still bad is notified then."""

    author: Name
    number: int = 0
    node: Name = ""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """These notifications have begun; how they go is in the history."""

    term: int
    notifications: list[int]


Operation = RunTest | RollBack | RemoveDefinitions | Acknowledge | Repaired | AddSilence | EndSilence
