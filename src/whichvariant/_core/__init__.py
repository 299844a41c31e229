"""The compiled core. It imports nothing else of the package; only compiler and engine use it."""
