"""Tests of the frozen types that configurations and answers are made of."""
