"""Tests of the loading layer."""
