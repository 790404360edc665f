"""Exit statuses of the coordinator, beside 0 (asked to stop) and 1 (failed); its supervisor reads them."""

EXIT_ROLE_TAKEN = 3
"""Another node holds the lock."""
EXIT_DEPOSED = 4
"""A newer term stands; what was not acknowledged will be sent again to whoever leads."""
EXIT_DISK_SILENT = 5
"""The shared disk did not answer within the limit."""
EXIT_YIELDED = 6
"""A node that hears more than this one claimed the role: stand back for a while before trying again."""
EXIT_DAMAGED = 7
"""The database is damaged, as far as it could see: whoever leads next looks at the whole of it."""
