"""Real mail programs at the real door. ``python -m tests.clients`` runs them all and writes ``docs/clients.md``."""
