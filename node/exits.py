"""Exit statuses of the coordinator, beside 0 (asked to stop) and 1 (failed); its supervisor reads them."""

EXIT_ROLE_TAKEN = 3
"""Another node holds the lock."""
EXIT_DEPOSED = 4
"""A newer term stands; what was not acknowledged will be sent again to whoever leads."""
