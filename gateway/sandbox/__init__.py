"""A Fax.to-compatible server for trying the gateway: a program of its own, on which nothing leaves the machine."""
