"""``preview``: the pages as pictures, with no daemon and no configuration."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pikepdf
from click.testing import CliRunner, Result
from PIL import Image, ImageOps

from cli.conftest import run, write_config
from gateway.cli.root import cli


def invoke(*args: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["preview", *args])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def test_a_text_becomes_pictures_of_fax_pages(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Hello.\f" * 2)
    result = invoke(str(letter), "--out", str(tmp_path / "new" / "pages"), "--pdf", str(tmp_path / "fax.pdf"))
    pictures = [Path(line) for line in result.stdout.splitlines()]
    assert pictures == sorted((tmp_path / "new" / "pages").iterdir())
    assert result.stderr.startswith("letter.txt: page")
    assert re.search(rf"^{len(pictures)} pages?, about \d+ s on the line$", result.stderr, re.M)
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.format == "PNG"
            assert image.width > 800
    assert (tmp_path / "fax.pdf").read_bytes().startswith(b"%PDF-")


def test_pages_of_an_earlier_and_longer_fax_are_told_and_not_removed(tmp_path: Path) -> None:
    letter, out = tmp_path / "letter.txt", tmp_path / "out"
    letter.write_text("one\ftwo\fthree")
    assert len(invoke(str(letter), "-o", str(out)).stdout.splitlines()) == 3
    for mine in ("page-12.png", "page-004.jpg", "my page-004.png"):
        (out / mine).touch()
    letter.write_text("one")
    done = invoke(str(letter), "-o", str(out))
    assert f"No pages of this fax, but there before: page-002.png, page-003.png in {out}\n" in done.stderr
    assert done.stdout.splitlines() == [str(out / "page-001.png")]
    assert (out / "page-003.png").is_file()  # it may be somebody's


def test_a_text_from_standard_input_and_a_name_may_have_any_charset(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode("Grüße.txt".encode("latin-1"))
    file.write_text("Hello.")
    arguments = ["preview", "--text", "-", str(file), "--json", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments, input="Viele Grüße aus Köln".encode("latin-1"))
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["ledger"] == ["message text: page 1", "Grüße.txt: page 2"]
    with Image.open(made["pictures"][0]) as image:
        left, _, right, _ = ImageOps.invert(image.convert("L")).getbbox() or (0, 0, 0, 0)
        assert right - left > 100  # a sentence, and not one dash


def test_a_mail_is_taken_as_it_is(tmp_path: Path) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_bytes(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHi.\r\n"
        b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=list.txt\r\n\r\none\r\n--b--\r\n"
    )
    made = json.loads(invoke(str(mail), "--json", "-o", str(tmp_path / "out")).stdout)
    assert sorted(made) == ["ledger", "pages", "pictures", "seconds", "warnings", "weights"]
    assert [line.partition(":")[0] for line in made["ledger"]] == ["message text", "list.txt"]
    assert len(made["pictures"]) == made["pages"]


def test_paper_and_resolution_come_from_options_else_from_the_configuration(tmp_path: Path) -> None:
    documents = {}
    config = write_config(tmp_path)
    config.write_text(
        config.read_text().replace("document: {workers: 1}", "document: {paper: a4, resolution: standard}")
    )
    for name, args in (
        ("default", []),
        ("options", ["--paper", "a4", "--resolution", "standard"]),
        ("configuration", ["-c", str(config)]),
        ("option beats configuration", ["--resolution", "fine", "-c", str(config)]),
    ):
        fax = tmp_path / f"{name}.pdf"
        invoke("--text", "Hello.", "--pdf", str(fax), "-o", str(tmp_path / "out"), *args)
        with pikepdf.open(fax) as pdf:
            (image,) = pdf.pages[0].obj.Resources.XObject.as_dict().values()
            documents[name] = (int(image.Width), int(image.Height))
    assert documents["options"] == documents["configuration"]
    assert len(set(documents.values())) == 3
    assert {width for width, _ in documents.values()} == {1728}
    assert "there is no configuration file nope.yaml" in invoke("--text", "x", "-c", "nope.yaml", status=78).stderr


def test_what_cannot_be_faxed_is_told(tmp_path: Path) -> None:
    assert "there is nothing to fax" in invoke(status=64).stderr
    assert "'nope.pdf' does not exist" in invoke("nope.pdf", status=64).stderr
    odd = tmp_path / "data.bin"
    odd.write_bytes(bytes(range(256)) * 10)
    result = invoke(str(odd), "-o", str(tmp_path / "out"), status=65)
    assert "data.bin" in result.stderr
    assert result.stdout == ""


def test_a_place_that_cannot_be_written_is_no_fault_of_the_document(tmp_path: Path) -> None:
    pdf = tmp_path / "nowhere" / "fax.pdf"
    result = invoke("--text", "Hi.", "-o", str(tmp_path / "pages"), "--pdf", str(pdf), status=74)
    assert result.stderr == f"faxgateway: {pdf}: No such file or directory\n"


def test_it_runs_as_the_front_page_says(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    done = run("preview", str(readme), "--out", str(tmp_path / "pages"))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list((tmp_path / "pages").iterdir())) >= 1


def test_a_cover_page_is_looked_at_before_it_is_used(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    (tmp_path / "covers").mkdir()
    template = tmp_path / "covers" / "ours.cover"
    template.write_text("<page><text>{{ from_company }}: {{ regarding }}</text></page>")
    ours = f"document: {{cover_templates: {template.parent}, cover_template: ours, cover_from: {{company: Miller}}}}"
    config.write_text(config.read_text().replace("document: {workers: 1}", ours))
    for name in ("auto", "modern"):
        made = invoke("--text", "Please sign.", "--cover", name, "-c", str(config), "-o", str(tmp_path / name))
        cover = {"auto": "ours"}.get(name, name)
        assert f"cover page {cover}: page 1\n" in made.stderr
    assert (
        "there is no cover page blue; there are classic, "
        in invoke("--text", "x", "--cover", "blue", "-c", str(config), status=65).stderr
    )
    template.write_text("<page>\n<text>{{ company }}</text></page>")
    for args in (["preview", "--text", "x"], ["check-config"]):
        result = CliRunner().invoke(cli, [*args, "-c", str(config)])
        assert result.exit_code == 78
        assert f"document.cover_templates: {template}: 'company' is undefined" in result.stderr
    template.rename(tmp_path / "covers" / "other.cover")
    (tmp_path / "covers" / "other.cover").write_text("<page/>")
    result = CliRunner().invoke(cli, ["check-config", "-c", str(config)])
    assert (
        result.exit_code,
        "there is no cover page ours; there are classic, compact, modern, other" in result.stderr,
    ) == (78, True)


def size(fax: Path) -> tuple[int, int]:
    with pikepdf.open(fax) as pdf:
        (image,) = pdf.pages[0].obj.Resources.XObject.as_dict().values()
        return int(image.Width), int(image.Height)


def test_the_options_in_a_mail_count_as_when_it_is_sent(tmp_path: Path) -> None:
    mail, fax = tmp_path / "mail.eml", tmp_path / "fax.pdf"
    mail.write_bytes(
        b"Subject: Lease [fax: cover=modern, paper=a4]\r\nX-Fax-Header: yes\r\nDate: Tue, 1 Dec 2020 08:00:00 +0000\r\n\r\n"
        b"[fax: resolution=standard, attn=Eve, send-at=2020-12-01T18:00]\r\nPlease sign.\r\n"
    )
    said = invoke(str(mail), "--pdf", str(fax), "-o", str(tmp_path / "out")).stderr
    assert "cover page modern: page 1\nmessage text, on the cover page: page 1\n" in said
    assert size(fax) == (1728, 1146)
    said = invoke(
        str(mail), "--cover", "none", "--resolution", "fine", "--pdf", str(fax), "-o", str(tmp_path / "out")
    ).stderr
    assert said.startswith("message text: page 1\n")
    assert size(fax)[1] > 2000
    mail.write_bytes(b"Subject: x\r\n\r\n[fax: colour=yes]\r\nHi.\r\n")
    assert "colour at the beginning of the text is not a fax option" in invoke(str(mail), status=65).stderr


def test_a_page_of_the_message_is_not_made_beside_a_cover_page(tmp_path: Path) -> None:
    letter, config = tmp_path / "mail.eml", write_config(tmp_path)
    config.write_text(config.read_text().replace("document: {workers: 1}", "document: {body: always, cover: auto}"))
    letter.write_bytes(
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\none\r\n"
    )
    made = json.loads(invoke(str(letter), "--json", "-c", str(config), "-o", str(tmp_path / "out")).stdout)
    assert made["ledger"] == ["cover page classic: page 1", "a.txt: page 2"]
