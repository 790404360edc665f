"""The log monitor: its own process below the node daemon, so that a user's pattern can be given up."""
