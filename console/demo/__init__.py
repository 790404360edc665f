"""`noroshi demo`: a real three-node cluster on loopback, and a story that is read back from it."""
