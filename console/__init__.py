"""What a person sees and types: the `noroshi` command and the Textual console.

Rules: reads through `noroshi.store` alone; of `noroshi.node` it knows the client and the wire; textual is imported
only below `console/app` and only when the console is opened, so that the other commands start fast.
"""
