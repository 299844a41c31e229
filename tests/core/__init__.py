"""Tests of the compiled core, each module by its Python face or through a small engine."""
