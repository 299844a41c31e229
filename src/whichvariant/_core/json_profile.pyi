# Only C functions, for the other core modules.
