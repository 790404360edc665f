"""What an event `notification-failure` says, in words: its supplement is for programs; pure."""

from __future__ import annotations

import json

from noroshi.store.model import FAILURE_EVENT


def failed_about(supplement: str) -> str:
    """What could not be told; empty where the event was raised by hand."""
    return _field(supplement, "about")


def supplement_words(event: str, supplement: str) -> str:
    """The supplement of an event as a list shows it: of a notification failure what nobody was told of, and why."""
    about = failed_about(supplement) if event == FAILURE_EVENT else ""
    if not about:
        return supplement
    why = _field(supplement, "why")
    return f"nobody was told: {about}" + (f" ({why})" if why else "")


def _field(supplement: str, name: str) -> str:
    try:
        value = json.loads(supplement)
    except (ValueError, RecursionError):
        return ""
    told = value.get(name) if isinstance(value, dict) else None
    return told if isinstance(told, str) else ""
