"""The connection's type, for those who hand it on: apsw itself is imported in the store alone."""

from __future__ import annotations

from apsw import Connection

__all__ = ["Connection"]
