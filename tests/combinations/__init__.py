"""Tests of combinations."""
