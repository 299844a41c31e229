"""Tests of the compiler: contracts in, tables and saved programs out."""
