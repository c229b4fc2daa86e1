"""Random input against real parts of the gateway, reproducible by its seed: see docs/fuzzing.md."""
