"""Every example of a configuration in the manual is one the gateway starts with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from gateway.config import load

DOCS = Path(__file__).parents[2] / "docs"


def _examples() -> Iterator[tuple[str, str]]:
    for page in sorted(DOCS.glob("*.md")):
        for number, block in enumerate(
            re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        ):
            yield f"{page.name}-{number}", block


EXAMPLES = dict(_examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_without_a_warning(name: str, write: Callable[[str], Path]) -> None:
    text = EXAMPLES[name]
    if text.startswith("    - "):  # a listener of its own
        text = f"smtp:\n  listeners:\n{text}"
    path = write(text)
    made = trustme.CA().issue_cert("fax.example.org")
    made.private_key_pem.write_to_path(str(path.with_name("fax.key")))
    made.cert_chain_pems[0].write_to_path(str(path.with_name("fax.pem")))
    path.with_name("fax.key").chmod(0o600)
    assert load(path, {"FAXTO_API_KEY": "k"}).warnings == ()
