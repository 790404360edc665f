"""Decisions without I/O: membership, packets, streams, duplicates, the notification engine.

Rules: no socket, clock, file, log or random source here; time is always an argument (monotonic seconds for
deadlines, integer microseconds UTC for records). import-linter holds this folder to it.
"""
