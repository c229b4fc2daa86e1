"""``faxgateway doctor``: everything the gateway needs, looked at in one go."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.base import Command, Session, json_option, pass_session

if TYPE_CHECKING:
    from gateway.cli.doctor_checks import Finding

_FAILED = 1


@click.command(cls=Command)
@json_option
@pass_session
def doctor(session: Session, as_json: bool) -> int:
    """Look at everything the gateway needs, and name the remedy for what is wrong.

    Nothing is changed or sent. The status is 1 when something failed, 0 for warnings.
    """
    from gateway import telemetry
    from gateway.cli.doctor_checks import everything

    telemetry.set_up_logging("critical", "console")
    found: list[Finding] = []

    async def look() -> None:
        async for finding in everything(session):
            found.append(finding)
            if not as_json:
                _tell(finding)

    asyncio.run(look())
    states = [finding.state for finding in found]
    if as_json:
        output.as_json([asdict(finding) for finding in found])
    else:
        warnings = output.plural(states.count("WARN"), "warning")
        output.say(f"{states.count('OK')} fine, {warnings}, {states.count('FAIL')} failed")
    return _FAILED if "FAIL" in states else 0


def _tell(finding: Finding) -> None:
    click.echo(f"{output.styled(f'{finding.state:<4}')}  {finding.check}: {output.clean(finding.text)}")
    if finding.remedy and finding.state != "OK":
        click.echo(f"      -> {output.clean(finding.remedy)}")
