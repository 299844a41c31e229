"""The independent judge of the engine: a slow evaluator, and generators of what to judge."""
