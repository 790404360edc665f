"""The node daemon: one per server, asyncio; shells around the cores."""
