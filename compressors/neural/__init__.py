"""The neural codec: a small byte-level model in integers, its training, and arithmetic coding under it."""
