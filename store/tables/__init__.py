"""The statements of the coordinator, by noun; each function takes an apsw connection inside a transaction."""
