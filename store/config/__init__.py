"""cluster.yaml and node.yaml: what the cluster is, and what one node does (design section 5).

Role: from file to frozen values, with every problem of a file at once. Durations are seconds.
Rules: a relative path starts from the directory of the file it stands in. Nothing here looks at the machine: whether a
directory can be written or a user exists is for whoever uses it. The JSON Schemas in `noroshi.store.schemas` say the
same for editors; the tests hold both together.
"""

from noroshi.store.config.bounds import Bounds
from noroshi.store.config.cluster import Cluster, Heartbeat, NodeAddress, load_cluster, parse_cluster
from noroshi.store.config.journal import JournalRule
from noroshi.store.config.keeping import Backups, Retention
from noroshi.store.config.logs import LogRule, Rate, RecordRule
from noroshi.store.config.monitors import MONITORS
from noroshi.store.config.node import (
    DefaultDestination,
    EventFilter,
    NodeConfig,
    NotifierConfig,
    check_pair,
    load_node,
)
from noroshi.store.config.signals import SignalRule

__all__ = [
    "MONITORS",
    "Backups",
    "Bounds",
    "Cluster",
    "DefaultDestination",
    "EventFilter",
    "Heartbeat",
    "JournalRule",
    "LogRule",
    "NodeAddress",
    "NodeConfig",
    "NotifierConfig",
    "Rate",
    "RecordRule",
    "Retention",
    "SignalRule",
    "check_pair",
    "load_cluster",
    "load_node",
    "parse_cluster",
]
