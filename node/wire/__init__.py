"""What travels between processes: typed messages, their codec, frames on Unix sockets, the REQ client."""
