"""Tests of the public face: making an engine, asking it, and asking why."""
