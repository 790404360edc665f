"""The commands, a module each: `add_arguments(parser)` and `run(arguments) -> exit status`.

Rules: a module imports at its top only what every use of that command needs; `main` imports only the one asked for.
"""
