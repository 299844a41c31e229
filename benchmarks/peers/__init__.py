"""The same decisions by what a user could install instead: `python -m benchmarks.peers.run`."""
