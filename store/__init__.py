"""The database on the shared disk: schema, writer, shared reader, definitions, and the configuration files.

Role: everything that is a file in the shared directory, and the two YAML files that lead to it.
Rules: apsw is imported here and nowhere else; nothing here imports `noroshi.node` or `noroshi.console`.
"""
