"""What runs on a server: the node daemon, the coordinator, their wire; and the two functions that raise events.

`raise_event` and `defer_event` need the standard library alone, so that any program can import them cheaply.
"""

from noroshi.node.client import defer_event, raise_event

__all__ = ["defer_event", "raise_event"]
