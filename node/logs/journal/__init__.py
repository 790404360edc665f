"""The systemd journal as a source of lines, read by a `journalctl -o json` child (spec 3.1).

How a line gets from the journal into the database exactly once: what was selected is numbered and saved with its
cursor on the node's own disk (`saved`) before it is sent (`backlog`); from then on it is sent from there, so that it
makes no difference whether the journal is rotated, vacuumed or read again. The numbers are the positions of a stream
(design section 2). The cursor moves with every entry that was looked at, selected or not (`course`).
"""
