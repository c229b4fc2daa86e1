"""faxgateway: one daemon between mail and fax.

Read ``docs/flow.md`` for the life of a mail and of a fax; the packages below follow it from the edge to the outside.
"""

__version__ = "0.1.0"
