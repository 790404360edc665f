"""How many lines of a source are let through (spec 3.1, 'ours'): a token bucket, without I/O.

Rules: what is beyond is held back and counted, never waited for: the writer is not slowed down, nor are other files.
Time counts from when the source was last read to its end, for what is read now was written since: a backlog that
piled up at less than the rate (no leader, a daemon that was down) is let through whole. So the bucket is cut to its
size only at the end of the file. What is given back was let through and is read again. Instants are microseconds UTC;
a clock that is set back lets nothing through twice.
"""

from __future__ import annotations

from noroshi.node.logs.messages import Limit


class Limiter:
    """One source's. `caught_up_at`: when it was last read to its end."""

    def __init__(self, limit: Limit, caught_up_at: int) -> None:
        self.limit = limit
        self.caught_up_at = self._at = caught_up_at
        self._tokens = float(limit.burst)

    def allow(self, lines: int, now_us: int) -> int:
        """How many of so many lines are let through."""
        self._fill(now_us)
        allowed = min(lines, int(self._tokens))
        self._tokens -= allowed
        return allowed

    def caught_up(self, now_us: int) -> None:
        """The source has been read to its end: what was not used is lost, but for the burst."""
        self._fill(now_us)
        self.caught_up_at = now_us
        self._tokens = min(self._tokens, float(self.limit.burst))

    def was_caught_up(self, at_us: int) -> None:
        """The same of a look in the past, which found nothing new; what was read since then stays as it is."""
        if at_us > self._at:
            self.caught_up(at_us)

    def give_back(self, lines: int) -> None:
        """So many lines that were let through are read again."""
        self._tokens += lines

    def _fill(self, now_us: int) -> None:
        self._tokens += max(0, now_us - self._at) * self.limit.lines / (1e6 * self.limit.seconds)
        self._at = now_us
