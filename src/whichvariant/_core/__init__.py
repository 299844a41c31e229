"""The compiled core. Nothing here imports the rest of the package; only compiler and engine use it."""
