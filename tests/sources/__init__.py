"""Tests of the sources layer; those that servers need most are in tests/server."""
