"""Tests of the profiles layer."""
