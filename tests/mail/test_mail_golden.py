"""Mails as senders write them, and what the gateway reads in each.

``python tests/mail/test_mail_golden.py`` writes the ``.expect`` files anew; read the difference before you commit it.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest

from gateway.charsets import to_text
from gateway.errors import Refused
from gateway.mail.parse import extract, inspect

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.eml"))


def describe(mail: Path, directory: Path) -> str:
    """All that is read in a mail, for people to compare."""
    summary = inspect(str(mail))
    lines = [f"{name}: {summary[name]}" for name in ("subject", "message_id", "date")]
    lines += [f"automatic: {summary['automatic']}", f"refusal: {summary['refusal']}"]
    try:
        found = extract(str(mail), str(directory))
    except Refused as error:
        return "\n".join([*lines, f"refused: {error.public} ({error.status})", ""])
    lines.append(f"from: {found['headers'].get('from', '')}")
    for part in found["parts"]:
        data = Path(part["path"]).read_bytes()
        marks = [part["charset"] or "", part["disposition"], "shown in the text" * part["referenced"]]
        lines.append(f"{part['role']}: {part['name']} | {part['declared_type']} | {' '.join(filter(None, marks))}")
        if part["defect"]:
            lines.append(f"    broken: {part['defect']}")
        elif part["declared_type"].startswith("text/"):
            lines += [f"    {line}".rstrip() for line in to_text(data, part["charset"]).splitlines()]
        else:
            lines.append(f"    {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:16]}")
    lines += [f"left out: {part['part']} | {part['type']} | {part['reason']}" for part in found["left_out"]]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("mail", GOLDEN, ids=lambda path: path.stem)
def test_mail_is_read_as_expected(mail: Path, tmp_path: Path) -> None:
    assert describe(mail, tmp_path) == mail.with_suffix(".expect").read_text(encoding="utf-8")


def test_golden_folder_is_complete() -> None:
    assert len(GOLDEN) > 50
    assert {path.stem for path in GOLDEN} == {path.stem for path in GOLDEN[0].parent.glob("*.expect")}


if __name__ == "__main__":
    for path in GOLDEN:
        with tempfile.TemporaryDirectory() as scratch:
            path.with_suffix(".expect").write_text(describe(path, Path(scratch)), encoding="utf-8")
