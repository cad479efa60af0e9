"""The deterministic simulation: ``python3 dev.py sim``. See ``docs/internals/testing.md``."""
