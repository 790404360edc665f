"""Widgets of the console; each posts what happened in it and reaches for nothing above itself."""
