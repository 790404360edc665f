"""The environment of a started program: the notification in NOROSHI_* variables on a minimal base (design section 6).

Rules: every variable is always set, empty where the notification has no such field, so that `set -u` scripts work.
Values are UTF-8, freed of NULs and cut to 16 KiB between characters. Nothing of the daemon's own environment passes
but the language and the time zone.
"""

from __future__ import annotations

import os

from noroshi.node.notifier.account import Account
from noroshi.node.notifier.procedure import Job

MAX_VALUE = 16 * 1024
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FIELDS = {
    "NOROSHI_EVENT": "event",
    "NOROSHI_STATE": "state",
    "NOROSHI_SUPPLEMENT": "supplement",
    "NOROSHI_NODE": "node",
    "NOROSHI_TIME": "observed_at",
    "NOROSHI_LINE": "line",
    "NOROSHI_SOURCE": "source",
    "NOROSHI_CATEGORY": "category",
    "NOROSHI_DEFINITION": "definition",
    "NOROSHI_NOTICE": "notice",
}
"""Variable: the payload's field. NOROSHI_ID is the delivery's id, the same for a repeat of the same delivery."""


def base(account: Account) -> dict[str, bytes]:
    """What every program gets, whatever it is told."""
    values = {
        "PATH": PATH,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": "/bin/sh",
    }
    if "TZ" in os.environ:
        values["TZ"] = os.environ["TZ"]
    return {name: value_of(value) for name, value in values.items()}


def variables(job: Job) -> dict[str, bytes]:
    """The NOROSHI_* variables of one delivery."""
    values = {name: value_of(job.text(field)) for name, field in FIELDS.items()}
    values["NOROSHI_ID"] = value_of(job.delivery)
    return values


def value_of(text: str) -> bytes:
    """The text as an environment can hold it."""
    data = text.replace("\0", "").encode(errors="replace")
    return data if len(data) <= MAX_VALUE else data[:MAX_VALUE].decode(errors="ignore").encode()
