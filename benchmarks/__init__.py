"""Benchmarks beside the code: each is run as a module from the repository's root, e.g. ``python -m benchmarks.startup``."""
