"""The coordinator: one process in the cluster, led by who holds the lock on the shared directory."""
