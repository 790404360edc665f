"""Which files are followed, which of them have something new, and in what order they are read.

Rules: files are polled by stat, those being written more often. The incarnations of a source are read one after the
other: a later one only when all of the earlier is acknowledged, and after the earlier was looked at once more. A
rotated file stays followed for as long as it exists, for its writer may be slow to let go of it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from noroshi.node.logs.directory import fact_of_open, identity_of
from noroshi.node.logs.follower import Follower, Replaced, shown
from noroshi.node.logs.messages import Rule, Timing
from noroshi.node.logs.places import SHARE, Place, Rules, View, signature, view
from noroshi.node.logs.position import Begin, Continue, Decision, End, Position, digest, reconcile
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.selection import Selection

BUDGET = 8 * 1024 * 1024
"""Bytes of lines that may wait to be sent, over all files."""

WRITTEN = 5.0
"""Seconds for which a file that grew is looked at often."""

LET_GO = 60.0
"""Seconds without a change until the descriptor of a rotated file is given back."""

ROTATED = 10
"""A rotated file without a descriptor is looked at each so many times that others are."""


@dataclass
class _Chain:
    """The incarnations of one source, oldest first."""

    followers: list[Follower] = field(default_factory=list)
