"""The command line: one file for each group of commands, imported when it is used."""

from __future__ import annotations


def main() -> None:
    """The program ``faxgateway``."""
    from gateway.cli.root import cli

    cli(prog_name="faxgateway")
