"""`noroshi doctor`: is this cluster what it needs to be, measured from the nodes that run."""
