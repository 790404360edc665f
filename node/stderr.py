"""What these programs say on standard error: with <N> priorities under systemd, with the time elsewhere.

Rules: names of files, what peers sent and why something failed are text from outside, and standard error may be a
terminal: every character that could move one is made visible, a newline too, so that nothing looks like a message of
its own; only a traceback has several lines.
"""

from __future__ import annotations

import logging
import os
import re
import sys

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Control characters, and those that turn the direction of text, as escapes."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def log_to_stderr(program: str) -> None:
    """From now on the process's own messages go there, as those of `program`."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter(f"{program}: %(message)s"))
    else:
        handler.setFormatter(_Formatter(f"%(asctime)s {program} %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).split("\n")))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        record.message = visible(record.message)
        return super().formatMessage(record)


class _JournalFormatter(_Formatter):
    """The <N> prefix that systemd reads (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITY.get(record.levelno, 6)}>" + super().format(record).replace("\n", " | ")
