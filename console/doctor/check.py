"""What the doctor says of one thing: a word, what was measured, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """`NOT_MEASURED` is no good news: what was not measured is not known."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"
    NOT_MEASURED = "NOT MEASURED"


@dataclass(frozen=True)
class Check:
    """`subject` is what was looked at; `figures` are the same numbers as in `measured`, for programs."""

    subject: str
    verdict: Verdict
    measured: str
    next: str = ""
    figures: dict[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        return {
            "check": self.subject,
            "state": self.verdict.value,
            "measured": self.measured,
            "next": self.next,
            "figures": self.figures,
        }


def ok(subject: str, measured: str, **figures: object) -> Check:
    return Check(subject, Verdict.OK, measured, figures=figures)


def warning(subject: str, measured: str, next_step: str, **figures: object) -> Check:
    return Check(subject, Verdict.WARNING, measured, next_step, figures)


def failed(subject: str, measured: str, next_step: str, **figures: object) -> Check:
    return Check(subject, Verdict.FAILED, measured, next_step, figures)


def not_measured(subject: str, why: str, next_step: str = "", **figures: object) -> Check:
    return Check(subject, Verdict.NOT_MEASURED, why, next_step, figures)


def listed(names: list[str]) -> str:
    """Up to five names, and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
