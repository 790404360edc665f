"""One node's part in measuring the shared disk: a process of its own, which can be given up when the disk hangs."""
