"""Benchmarks of whichvariant, side by side with what a user would write or pick instead.

``make bench`` runs the suite and prints one table of ratios (`benchmarks.report`). Ratios of one
run are what counts: absolute times depend on the machine and on who else is using it.
"""
