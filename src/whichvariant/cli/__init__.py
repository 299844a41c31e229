"""The command line: commands, files, exit codes. One module per command; ``main`` is the entry."""
