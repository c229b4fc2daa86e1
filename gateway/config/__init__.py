"""The configuration: one YAML file becomes one frozen :class:`Config`, or every problem in it is told at once.

Only the composition root and the command line see it; everybody else gets plain values.
"""

from __future__ import annotations

from gateway.config.loader import SEARCHED, find, load, load_place
from gateway.config.options import Config
from gateway.config.schema import json_schema
from gateway.config.secrets import Secret

__all__ = ["SEARCHED", "Config", "Secret", "find", "json_schema", "load", "load_place"]
