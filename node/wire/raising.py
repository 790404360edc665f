"""What a raiser may say: the limits of names and supplements, checked alike by daemon and command.

Rules: the standard library alone, since `noroshi raise` checks with it when there is no daemon to ask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EVENT_MOST = 256
STATE_MOST = 64
SUPPLEMENT_MOST = 64 * 1024
TOKEN_MOST = 64
"""Characters."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class BadRequest(ValueError):
    """The raiser's fault; str() says what is wrong, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Raise:
    """One event as a raiser says it. `token`: the same one twice is stored once."""

    event: str
    state: str
    supplement: str = ""
    deferred: bool = False
    token: str = ""

    def __post_init__(self) -> None:
        """Raises BadRequest."""
        _check_name("event", self.event, EVENT_MOST)
        _check_name("state", self.state, STATE_MOST)
        if len(self.supplement) > SUPPLEMENT_MOST:
            most = f"{SUPPLEMENT_MOST} characters"
            raise BadRequest(f"a supplement of {len(self.supplement)} characters, at most {most}", "shorten it")
        if _LONE_SURROGATE.search(self.supplement):
            raise BadRequest("the supplement is no valid Unicode text", "send it as UTF-8")
        if self.token:
            _check_name("token", self.token, TOKEN_MOST)


def _check_name(what: str, value: str, most: int) -> None:
    if not value.strip():
        raise BadRequest(f"an empty {what}", f"give the {what} a name")
    if len(value) > most:
        raise BadRequest(f"{what} has {len(value)} characters, at most {most}", "put the details into the supplement")
    if found := _CONTROL.search(value):
        raise BadRequest(f"{what} contains the control character {found[0]!r}", "names are printable text on one line")
