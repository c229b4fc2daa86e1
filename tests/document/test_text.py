"""Text becomes pages: all of it, in any charset, wrapped, whatever characters it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.document import html_text, raster, sniff, sources, systemfonts, text, utf16
from gateway.document.raster import Page
from gateway.document.refusal import TooLong, Unfaxable
from gateway.model import LedgerEntry

from .conftest import Fax, Pages
from .made import letters

FINE = raster.grid("letter", "fine")


def rows(page: Page | Image.Image) -> list[tuple[int, int]]:
    """Where lines of text stand: first and last pixel row of each."""
    image = page.image if isinstance(page, Page) else page
    ink = [
        row < 128 for row in image.convert("L").resize((1, image.height), Image.Resampling.BOX).point(_dark).tobytes()
    ]
    found: list[tuple[int, int]] = []
    for y, black in enumerate(ink):
        if black and (not found or found[-1][1] != y - 1):
            found.append((y, y))
        elif black:
            found[-1] = (found[-1][0], y)
    return found


_dark = [0 if v < 255 else 255 for v in range(256)]


def width(page: Page) -> tuple[int, int]:
    """The first and the last pixel column with ink."""
    box = page.image.convert("L").point([255 if v < 128 else 0 for v in range(256)]).getbbox()
    assert box
    return box[0], box[2]


# --- charsets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        ("Grüße", "iso-8859-1"), ("Grüße", "utf-8"), ("Grüße", "cp1252"), ("Привет", "koi8-r"), ("ファックス", "shift_jis"),
        ("ファックス", "iso-2022-jp"), ("传真", "gb18030"), ("팩스", "euc-kr"), ("שלום", "cp1255"), ("plain", "us-ascii"),
        ("Grüße", "utf-16-le"),
    ],
)  # fmt: skip
def test_a_declared_charset_is_believed(content: str, charset: str) -> None:
    assert text.decode(content.encode(charset), charset) == content


@pytest.mark.parametrize(
    ("content", "encoding", "charset"),
    [
        ("“quoted” – 100 € …", "cp1252", "iso-8859-1"), ("“quoted” – 100 € …", "cp1252", "us-ascii"),
        ("Größe", "utf-8", "iso-8859-1"), ("朱镕基 繁體字", "gbk", "gb2312"), ("שלום עולם 123", "iso8859_8", "iso-8859-8-i"),
        ("똠방각하", "cp949", "ks_c_5601-1987"), ("①髙橋", "cp932", "x-sjis"), ("ğış", "cp1254", "ISO_8859-9"),
        ("Größe", "mac-roman", "x-mac-roman"), ("Привет", "koi8-r", "cp20866"),
        ("สวัสดี", "cp874", "windows-874"), ("สวัสดี", "cp874", "TIS620"), ("Größe", "cp850", "ibm-850"),
        ("①髙橋", "cp932", "Windows-31J"), ("Привет", "koi8-r", "koi8"), ("žluťoučký", "iso-8859-2", "ISO88592"),
        ("Привет", "utf-16-le", "unicode"), ("Привет", "mac-cyrillic", "x-mac-cyrillic"), ("100 €", "cp1252", "csISOLatin1"),
        ("똠방각하", "cp949", "x-windows-949"), ("Привет", "utf-8", "windows-1251"), ("שלום", "iso8859_8", "logical"),
    ],
)  # fmt: skip
def test_a_charset_is_what_senders_mean_by_it(content: str, encoding: str, charset: str) -> None:
    assert text.decode(content.encode(encoding), charset) == content


def test_the_letters_that_windows_puts_into_a_japanese_charset() -> None:
    assert text.decode(b"\x1b$B-!8+\x1b(B", "iso-2022-jp") == "①見"


@pytest.mark.parametrize("charset", [None, "us-ascii"])
def test_japanese_is_known_by_its_escapes(charset: str | None) -> None:
    content = "ファックスの送信をお願いします。"
    assert text.decode(content.encode("iso2022_jp"), charset) == content


def test_a_damaged_letter_leaves_the_others_as_they_were_meant() -> None:
    content = "请查收传真文件，谢谢。" * 10
    assert text.decode(content.encode("gb18030") + b"\xff", "gb2312") == f"{content}\ufffd"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1250">', "cp1250"),
        ("<meta charset=koi8-r>", "koi8-r"), ('<?xml version="1.0" encoding="Shift_JIS"?>', "cp932"),
        ("<meta charset='utf-16'>", "utf-8"), ("<meta charset='no-such'>", "utf-8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("charset", [None, "us-ascii"])
def test_html_and_xml_say_their_charset(head: str, encoding: str, charset: str | None) -> None:
    words = {"cp1250": "Żółć", "koi8-r": "Да", "cp932": "請求", "utf-8": "Größe"}[encoding]
    content = f"{head}{' ' * 500}{words}"
    assert text.decode(content.encode(encoding), charset) == content


@pytest.mark.parametrize(
    ("content", "encoding"),
    [("╔════════╗\r\n║ Größe  ║\r\n╚════════╝", "cp437"), ("┌──────────────┐\r\n│ Привет, мир! │\r\n└──────────────┘", "cp866")],
)  # fmt: skip
def test_the_frames_of_dos_tell_its_charset(content: str, encoding: str) -> None:
    assert text.decode(content.encode(encoding), None) == content


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_tells_more_than_a_declaration(encoding: str) -> None:
    assert text.decode("Grüße, мир".encode(encoding), "us-ascii") == "Grüße, мир"


def test_big_endian_marks() -> None:
    assert text.decode(b"\xfe\xff" + "мир".encode("utf-16-be"), None) == "мир"
    assert text.decode(b"\0\0\xfe\xff" + "мир".encode("utf-32-be"), None) == "мир"


@pytest.mark.parametrize("content", ["Grüße aus Köln, 5 €\r\n", "a\n", "two\tcolumns"])
@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
def test_sixteen_bits_need_no_mark(content: str, charset: str) -> None:
    assert text.decode(content.encode(charset), None) == content
    assert text.decode(content.encode(charset), "us-ascii") == content


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "content",
    [
        "Уважаемый господин Петров,\r\nдоговор № 5 от 3.4.2026 «прилагается».\r\n", "尊敬的客户：\r\n合同见附件，一二三。\r\n",
        "お世話になっております。\r\n資料を送付いたします。\r\n", "안녕하세요.\r\n계약서를 첨부합니다.\r\n", "Καλημέρα σας\n",
        "שלום לכולם\r\n", "مرحبا بكم\r\n", "สวัสดีครับ ทุกคน", "编号A12\r\nabc 合同 1,200.00\r\n", "Привет 😀 мир\n",
        "　　１２３４\r\n",
    ],
)  # fmt: skip
def test_sixteen_bits_of_any_letters_need_no_mark(pages: Pages, content: str, charset: str) -> None:
    data = content.encode(charset)
    assert text.decode(data, None) == content
    assert sniff.sniff_bytes(data[:4096]) == sniff.TEXT
    for other in ("utf-8", "cp1251", "gb18030", "utf-16-le", "utf-16-be"):
        try:
            assert utf16.charset(content.encode(other)) == (other if other.startswith("utf-16") else "")
        except UnicodeEncodeError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        "文件\n".encode("utf-16-le"),  # too little to be sure
        "你好abc你好".encode("utf-16-le") + b"\x20\0\0\x20",  # either way it makes sense
        bytes(range(256)), b"\x41\0\x42\x04\x43\x06\x20\0" * 9, "мир\0мир \x01".encode("utf-16-le"),
    ],
)  # fmt: skip
def test_what_may_be_no_text_of_sixteen_bits_is_none(data: bytes) -> None:
    assert utf16.charset(data) == ""


@pytest.mark.parametrize("end", [b"\0" * 30, b"\x1a", b"\x1a\0\0"])
def test_what_old_programs_put_behind_the_end_is_no_text(end: bytes) -> None:
    assert text.decode(b"The end\r\n" + end, "us-ascii") == "The end\r\n"


@pytest.mark.parametrize(
    "charset", [None, "", "us-ascii", "no-such-charset", "utf-8\0", "base64", "undefined", "idna", "x" * 500]
)
def test_a_wrong_charset_does_no_harm(charset: str | None) -> None:
    assert text.decode("Grüße aus Köln".encode(), charset) == "Grüße aus Köln"
    assert text.decode(b"Gr\xfc\xdfe aus K\xf6ln", charset) == "Grüße aus Köln"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("señor Muñoz", "latin-1"), ("Jörg", "latin-1"), ("à", "latin-1"), ("café à la crème, 5 € déjà vu", "cp1252"), ("Best regards – “quoted”", "cp1252"),
        ("Привет, это факс из Москвы, просим подтвердить получение.", "cp1251"),
        ("ファックスの送信をお願いします。", "shift_jis"), ("お見積書を送ります。よろしくお願いいたします。", "shift_jis"),
        ("请查收传真文件，谢谢。", "gb18030"),
    ],
)  # fmt: skip
def test_what_nobody_declared_is_guessed(content: str, encoding: str) -> None:
    assert text.decode(content.encode(encoding), None) == content


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Добрый день! Счёт № 5.", "cp1251"), ("Привет из Москвы, договор прилагается. Просим подтвердить получение факса.", "koi8-r"),
        ("Καλημέρα σας, σας στέλνουμε το συμβόλαιο υπογεγραμμένο.", "cp1253"), ("您好，请查收附件中的合同，谢谢。", "gb18030"),
        ("שלום רב, מצורף בזאת החוזה החתום. נא לאשר קבלה.", "cp1255"), ("안녕하세요. 계약서를 첨부합니다.", "cp949"),
        ("<table><tr><td class=MsoNormal>Направляем Вам счет на оплату № 125</td></tr></table>", "cp1251"),
        ("Szanowni Państwo, w załączeniu przesyłamy fakturę", "cp1250"), ("Prosimy o zapłatę należności", "iso-8859-2"),
        ("Molimo da platite račun još ovaj mjesec, pošaljite i ponudu do četvrtka, može", "iso-8859-2"),
        ("Kérjük, hogy a megrendelést erősítse meg. Üdvözlettel, Győző", "cp1250"),
        ("Zasíláme vám smlouvu k podpisu. Přiložený dokument prosím podepište, děkuji", "cp1250"),
        ("Vă rugăm să semnaţi contractul ataşat şi să îl trimiteţi prin fax, până mâine", "iso-8859-2"),
        ("Prosím podpíšte zmluvu a vráťte ju faxom. Ďakujem, šťastný týždeň", "iso-8859-2"),
        ("Ekteki sözleşmeyi imzalayıp faks ile geri gönderiniz. İyi çalışmalar", "cp1254"),
        ("Prašome pasirašyti sutartį ir atsiųsti ją faksu. Ačiū, gražių švenčių", "cp1257"),
        ("Grüße aus Köln, Straße 5; geprüft, fällig\r\n", "cp850"), ("Facture n° 5, payée à l'été, reçu\r\n", "cp850"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("declared", ["iso-8859-1", "windows-1252", "us-ascii", None])
def test_a_text_that_cannot_be_western_is_guessed_whatever_it_says(
    content: str, encoding: str, declared: str | None
) -> None:
    assert text.decode(content.encode(encoding), declared) == content


@pytest.mark.parametrize("declared", ["utf-8", "iso-8859-1", "us-ascii", None])
@pytest.mark.parametrize(
    "content", ["Grüße aus Köln, schöne Straße. ", "Привет из Москвы. ", "お世話になっております。"]
)
def test_a_stray_footer_spoils_no_text_in_utf8(content: str, declared: str | None) -> None:
    for count in (1, 50):
        whole = content * count
        assert text.decode(whole.encode() + b"-- M\xfcller", declared) == f"{whole}-- Müller"
        assert text.decode(whole.encode() + "–".encode()[:2], declared).startswith(whole)  # cut off


@pytest.mark.parametrize(
    "content",
    [
        "As ações não são válidas até à próxima reunião; põe três cópias à disposição, você é ótimo",
        "Così può leggere il contratto; perché è già più tardi, lunedì, in città, Ø20",
        "Kõik on väga hästi, õpetaja, üks ööbik, tõesti, šokk, žanr, mõõta",
        "Góðan dag, hér er samningurinn; þetta er ágætt, öll börn, ýmislegt, íþróttir",
        "Col·lecció i qüestió del país, això és més òptim, força àrea, Lluís",
    ],
)
def test_a_western_language_is_none_of_the_others(content: str) -> None:
    for count in (1, 20):
        assert text.decode(content.encode("cp1252") * count, None) == content * count


@pytest.mark.parametrize("content", ["Ça déjà vu, Größe „5 m²“ …", "ÄÖÜ ÀÉÈÊ ««»»", "“a” b", "x…y™z", "áéíóú ñ"])
def test_a_western_text_stays_one(content: str) -> None:
    assert text.decode(content.encode("cp1252"), "iso-8859-1") == content


def test_the_colours_of_a_terminal_are_no_text() -> None:
    assert text.clean("\x1b[31;1mERROR\x1b[0m in [0m]") == "ERROR in [0m]"
    assert text.clean("\x1b]0;me@host\x07\x1b(Bback\x1b[>4;2m \x1b]2") == "back  ]2"


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "utf-16", "iso-2022-jp", "cp932", "utf-7", "punycode"]))
@settings(max_examples=200)
def test_decoding_never_fails(data: bytes, charset: str | None) -> None:
    assert isinstance(text.decode(data, charset), str)


# --- layout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r\n", "\r\r\n", "\r", "\v", "\x85", "\u2028", "\u2029"])
def test_a_line_ends_however_programs_write_it(pages: Pages, end: str) -> None:
    (page,), (wanted,) = (pages(f"one{each}two".encode(), charset="utf-8") for each in (end, "\n"))
    assert page.image.tobytes() == wanted.image.tobytes()


def test_words_that_are_read_from_the_right_keep_their_order_among_columns() -> None:
    line = "עט כחול, גדול   12   30.50"
    ((_, piece),) = text.Typesetter("DejaVuSansMono").runs(
        line
    )  # in one piece the words change their places as they must
    assert piece == line


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("\u05d0\u05d1 \u65e5 \u05d2", [" \u05d2", "\u65e5", "\u05d0\u05d1 "]),
        ("2 \u0627\u65e5", ["\u65e5", "2 \u0627"]),
        ("a \u65e5 \u05d0", ["a ", "\u65e5", " \u05d0"]),
    ],
)
def test_what_is_read_from_the_right_begins_there_in_several_fonts(
    monkeypatch: pytest.MonkeyPatch, line: str, pieces: list[str]
) -> None:
    setter = text.Typesetter()
    monkeypatch.setattr(setter, "_has", lambda n, character: (character == "\u65e5") == (n == 1))
    monkeypatch.setattr(setter, "_choice", lambda character: int(character == "\u65e5"))
    assert [piece for _, piece in setter.runs(line)] == pieces


def test_lines_stand_below_each_other_within_the_margins(pages: Pages) -> None:
    (page,) = pages(b"first\nsecond\r\nthird\rfourth\n\nlast\n")
    found = rows(page)
    assert len(found) >= 5
    left, right = width(page)
    assert left >= 0.55 * 204
    assert right <= 1728 - 0.5 * 204
    assert found[0][0] >= 0.55 * 196


def test_long_lines_are_wrapped_and_nothing_is_lost(pages: Pages) -> None:
    words = " ".join(f"word{n}" for n in range(400))
    (page,) = pages(words.encode())
    assert len(rows(page)) > 20
    assert width(page)[1] <= 1728 - 0.5 * 204


@pytest.mark.parametrize(
    "line",
    [
        "x" * 5000, "i" * 5000, "W" * 5000, "word " * 2000, "a b " * 2000, " " * 300 + "late", "x" * 300 + " " + "y" * 300,
        "日本語" * 500, "é" * 1000, "e\u0301" * 1000, "\u0301" * 3000, "👩\u200d👩\u200d👧 " * 300, "ab\u200dcd" * 400,
    ],
)  # fmt: skip
def test_wrapping_keeps_every_character(line: str) -> None:
    setter = text.Typesetter()
    room = 1728 - 2 * 0.6 * 204
    pieces = list(setter.wrap(line, room))
    assert "".join("".join(pieces).split()) == "".join(line.split())
    for piece in pieces:
        assert sum(font.getlength(run) for font, run in setter.runs(piece)) <= room * 1.03
        assert not piece.startswith("\u0301") or set(piece) == {"\u0301"}


NOTES = "a line of notes " * 7  # 112 columns
ROW = "bolt       M8 x 20     4,000" * 4


@pytest.mark.parametrize(
    ("content", "resolution", "lines"),
    [
        (f"{NOTES}\n" * 6, "fine", 6),
        (f"{NOTES}\n" * 6, "standard", 6),
        (f"{ROW[:110]}\n" * 6, "fine", 6),
        (f"{ROW[:96]}\n" * 6, "standard", 6),
        (f"{ROW[:110]}\n" * 6, "standard", 12),  # as small print in standard resolution cannot be read
        (f"{ROW}{ROW}\n" * 6, "fine", 18),  # nor in such letters
        (f"{NOTES}\n" * 4, "fine", 8),  # a few are no reason
        (f"{NOTES}\n\n" * 6, "fine", 12),  # nor are paragraphs
        (f"{NOTES}\n" * 20 + NOTES * 2, "fine", 22),  # one that is longer is no reason against it
        (f"{NOTES}\n" * 5 + "short\n" * 50, "fine", 60),
    ],
)
def test_a_text_with_lines_a_little_too_long_is_smaller(fax: Fax, content: str, resolution: str, lines: int) -> None:
    made = fax.make(fax.text(content), resolution=resolution)
    assert not any("small" in said for sheet in made["sheets"] for said in sheet["warnings"])
    found = sources.pages(fax.out, sniff.PDF, "x", raster.grid("letter", resolution))
    assert sum(len(rows(page)) for page in found) == lines


@pytest.mark.parametrize("columns", [113, 132, 144])
def test_a_table_that_is_too_wide_lies_across_its_pages(fax: Fax, columns: int) -> None:
    made = fax.make(fax.text(f"{(ROW * 2)[: columns - 1]}|\n" * 60))
    assert not any("small" in said for sheet in made["sheets"] for said in sheet["warnings"])
    lines = 0
    for page in sources.pages(fax.out, sniff.PDF, "x", raster.grid("letter", "fine")):
        assert page.image.size == (1728, 2156)
        lines += len(rows(page.image.transpose(Image.Transpose.ROTATE_90)))
    assert lines == 60


def test_tabs_make_columns(pages: Pages) -> None:
    table = "".join(f"{n}\titem\t{n * 7}\n" for n in range(20))
    with_tabs = pages(table.encode())[0]
    with_blanks = pages(table.expandtabs(8).encode())[0]
    assert with_tabs.image.tobytes() == with_blanks.image.tobytes()


def test_columns_of_blanks_get_letters_of_one_width(pages: Pages) -> None:
    (table,) = pages(b"i    1\ni    2\nW    3\n")
    image = table.image.convert("L")
    starts = []
    for top, bottom in rows(table):
        line = image.crop((300, top, 1700, bottom + 1)).point([255 if v < 128 else 0 for v in range(256)]).getbbox()
        starts.append(line)
    assert all(start is None for start in starts) or len({start[0] // 12 for start in starts if start}) <= 2


def test_a_form_feed_begins_a_page(pages: Pages) -> None:
    assert len(pages(b"one\ftwo\fthree")) == 3
    assert len(pages(b"one\ftwo\f\n")) == 2
    assert len(pages(b" \r\n\f\f  one\ftwo")) == 2
    assert len(pages(b"one" + b"\n" * 60 + b"\ftwo")) == 2  # and what is blank before it takes none


@pytest.mark.parametrize(
    ("lines", "sheets", "count"), [([58], 4, 4), ([66], 4, 4), ([66, 66, 9, 66], 1, 4), ([75], 2, 4), ([58, 9, 9], 1, 4), ([58], 1, 2)]
)  # fmt: skip
def test_the_sheets_of_old_printers_are_pages(pages: Pages, lines: list[int], sheets: int, count: int) -> None:
    content = b"\f\n".join(b"a   b\n" * (number - 1) for number in lines * sheets)
    assert len(pages(content)) == count


def test_signs_of_fonts_that_a_text_does_not_name_are_seen(fax: Fax) -> None:
    assert text.clean("\uf0b7 \uf0fe \uf0a8 \uf0fc\u00a0\u00ad\x01") == "\u2022 \u2611 \u25a1 \u2713"
    made = fax.make(fax.text("\uf0fc \uf020 \ue100 \U0001fae8 ."))
    (entry,) = made["ledger"]
    assert "U+1FAE8" in entry["note"]
    assert "U+F0FC" not in entry["note"]


def test_a_long_text_goes_on_over_pages(pages: Pages) -> None:
    found = pages(b"xxxx\n" * 200)
    assert len(found) == 4
    assert sum(len(rows(page)) for page in found) == 200
    assert all(page.image.size == (1728, 2156) for page in found)


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("paper", ["letter", "a4"])
def test_text_is_on_the_grid(pages: Pages, paper: str, resolution: str) -> None:
    target = raster.grid(paper, resolution)
    (page,) = pages(b"hello", paper=paper, resolution=resolution)
    assert page.image.size == (1728, target.height)
    (line,) = rows(page)
    height = (line[1] - line[0]) / target.y_dpi * 72
    assert 6 < height < 14, "eleven points"


@pytest.mark.parametrize(
    "content",
    [
        "שלום עולם", "مرحبا بالعالم", "مرحبا hello שלום 123", "👋🌍🏳️‍🌈👨‍👩‍👧‍👦", "नमस्ते", "สวัสดี", "你好", "\u202eright to left\u202c", "a\u00adb",
        "\ufeff", "\x1b[31mred\x1b[0m", "\U0010ffff\U000e0001", "\u2028\u2029", "ﷺ", "Z̸̨̛a̷̢͘l̴̨̀g̸̢̛o̷̢͘",
    ],
)  # fmt: skip
def test_any_script_is_printed_without_a_crash(pages: Pages, content: str) -> None:
    (page,) = pages(f"before\n{content}\nafter".encode())
    assert len(rows(page)) >= 2


def test_a_letter_no_font_has_is_a_box_and_not_dropped(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_SYSTEM", ())
    (page,) = pages("\U00012000".encode())
    assert rows(page)


def test_a_system_font_helps_where_ours_lack_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours stands in for the system's, and a font of digits alone for ours."""
    monkeypatch.setattr(
        text, "_system_fonts", lambda size: [text.ImageFont.truetype(str(text._FONTS / "DejaVuSansMono.ttf"), size)]
    )
    setter = text.Typesetter()
    monkeypatch.setattr(setter, "_missing", [text._shape(font, "A") for font in setter._fonts])
    assert [run for _, run in setter.runs("xAy")] == ["x", "A", "y"]
    assert len(setter._fonts) == 3


def test_system_fonts_are_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "truetype" / "freefont"
    place.mkdir(parents=True)
    (place / "FreeSans.ttf").write_bytes((text._FONTS / "DejaVuSans.ttf").read_bytes())
    monkeypatch.setattr(text, "_ROOTS", (str(tmp_path), str(tmp_path / "absent")))
    assert [font.getname()[0] for font in text._system_fonts(20)] == ["DejaVu Sans"]


@given(st.text(max_size=400))
@settings(max_examples=60)
def test_any_text_prints(content: str) -> None:
    for image in text.pages(content, raster.grid("letter", "standard"), mono=False):
        assert image.size == (1728, 1078)


def test_a_text_too_long_is_refused(refusal: Callable[..., Unfaxable]) -> None:
    assert refusal(b"line\n" * (2 << 20)).public == "x.bin is too long for a fax; send it in parts"
    refused = refusal(b"line\n" * 500, room=3)
    assert isinstance(refused, TooLong)
    assert refused.public == "x.bin has more than 3 pages, and the fax has room for 3 more; send it in parts"


# --- HTML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<b>bold</b> and <i>not</i>", "bold and not"),
        ("a &amp; b &lt; c &eacute; &#8364; &#x20ac;", "a & b < c é € €"),
        ("<ul><li>x</li><li>y</li></ul>", "• x\n• y"),
        ("<div>a</div><div>b</div><div><br></div><div>c</div>", "a\nb\n\nc"),
        ("<p class=MsoNormal>a</p><p class=MsoNormal>b</p><p class=MsoNormal>&nbsp;</p><p>c</p>", "a\nb\n\nc"),
        ("x<pre>if a:\n\n\treturn  b</pre>y", "x\n\nif a:\n\n        return  b\n\ny"),
        ("a&nbsp;&nbsp; b\u00a0", "a   b"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><th>3</th></tr></table>", "1   2\n3"),
        (  # as Outlook writes cells, and others
            "<table><tr><td> <p class=MsoNormal>1</p></td><td><p>2</p>\n</td></tr><tr><td><div>3</div></td><td>4<p>5</p></td></tr></table>x",
            "1   2\n3   4\n\n5\n\nx",
        ),
        ("<table><tr><td><p>1</p><p>2</p></td><td>3</td></tr></table>", "1\n\n2   3"),
        ("<p>a</p><br><div>b</div>c", "a\n\nb\nc"),
        ("<td><table><tr><td>1<td>2</table>3", "1   2\n3"),
        ("<style>p{}</style><script>alert(1)</script><p>seen", "seen"),
        ("<html><head><title>t</title><body>seen", "seen"),
        ("<html><head><title>t</title><p>seen", "seen"),
        ("<head><title>never closed <body>seen", "seen"),
        ("<template>no</template>yes", "yes"),
        ("x<hr>y", "x\n" + "-" * 40 + "\ny"),
        ("<p>x</p><hr><p>y</p>", "x\n\n" + "-" * 40 + "\n\ny"),
        ("  spaces \n and\tlines  ", "spaces and lines"),
        ("<![if !mso]>shown<![endif]>", "shown"),
        ("<![XYZ[ odd ]]>text", "text"),
        ("<!--[if mso]>hidden<![endif]-->shown", "shown"),
        ("<?php echo 1 ?>text", "text"),
        ("a < b and c > d", "a < b and c > d"),
        ("</style>stray end", "stray end"),
        ("", ""),
        ("<p></p>", ""),
        ("<ol><li>one<li>two<ul><li>x</ul><li>three</ol>end", "1. one\n2. two\n    • x\n3. three\n\nend"),
        ("<ol start=9 type=a><li>i<li value=3>c</ol><ol type=A start=99><li>x</ol>", "i. i\nc. c\n\n99. x"),
        ("<ol start=x><li value=-1>a</ol><li>alone", "1. a\n\n• alone"),
        (
            "<table><tr><th>Day<th>In<th>Out</tr><tr><td>1<td><td>5</tr><tr><td>2<td>7<td>&nbsp;</tr><tr><td>3<td><img src=tick.png><td>9"
            "<tr><td><td><td><tr><td>Sum<td>12</table><table><tr><td>a<td><td>b</tr></table>",
            "Day   In   Out\n1   –   5\n2   7   –\n3   9\nSum   12\na   b",
        ),
        (
            "<b style='display:block'>Order 47</b><a style='font:x; display: block'>11 pieces</a>now <i style='display:inline-block'>z</i><table><tr><td>"
            "<a style='display:block'>1</a></td><td style='display:block'><img style='display:block'>2</td><th style='display:block'>3</th></table>",
            "Order 47\n11 pieces\nnow z\n1   2   3",
        ),
        ("To:<textarea>Ann\nBerlin</textarea>", "To: Ann\nBerlin"),
        ("<ul><li><p>x</p></li>\n<li>\n<div>y</div><div>z</div></li></ul><p>a</p>", "• x\n• y\nz\n\na"),
        (
            "<ol type=I><li>x<li>y<ol type=i start=4><li>z<li>z</ol></ol><ol type=i start=400><li>x</ol>",
            "I. x\nII. y\n    iv. z\n    v. z\n\n400. x",
        ),
        (  # as Outlook on the web and Google Docs write them
            "<ol style='list-style-type: lower-alpha'><li>x<li style='list-style: inside Upper-Roman'>y</ol><ol style='list-style:none'>"
            "<li>1.1 z</ol><ul style='list-style: disc outside none'><li>u</ul>",
            "a. x\nII. y\n\n1.1 z\n\n• u",
        ),
        (
            "10<sup><span lang=EN>6</span></sup>, m<span style='font-size:8pt; vertical-align: super'>2</span>, H<sub><i>2</i></sub>O",
            "10⁶, m², H₂O",
        ),
        (
            "<div style='white-space: pre-wrap'>5 bolts\n  M8 <b>x  2</b>\n<i style='white-space:normal'>a\nb</i></div><table style='white-space:pre'>\n"
            "<tr>\n<td>1</td>\n<td>2</td></tr></table>",
            "5 bolts\n  M8 x  2\na b\n1   2",
        ),
        ("10<sup>6</sup>, the 1<sup>st</sup>, H<sub>2</sub>O", "10⁶, the 1st, H₂O"),
        ("<s>1 0</s> <del>5</del> <span style='text-decoration: line-through'>a<b>b</b></span> 9", "1̶ 0̶ 5̶ a̶b̶ 9"),
        ("<div style='display: none'>Seen in lists<br>only</div>The whole letter", "The whole letter"),
        ("<p style=display:none>gone<p>The whole letter<div hidden>x</div> is here", "The whole letter\nis here"),
        ("<table><tr><td><span style='display:none'>x</td><td>The rest of it</table>", "The rest of it"),
        ("<div style='display:none'>All that is there</div>", "All that is there"),
        (f"<div style='display:none'>{'A letter. ' * 40}</div>Bye", f"{'A letter. ' * 40}".strip() + "\nBye"),
        (
            "Paid <input type=checkbox checked> <input type=radio> by <input value=Ann> <input type=hidden value=x>",
            "Paid ☒ ☐ by Ann",
        ),
        (
            "On <input type=date value=2026-05-05>, <input type=password value=x> <select><option>Red<option selected>Green</select>"
            " <select><option>One<option>Two</select> <select multiple><option selected>A<option>B<option selected>C</select>",
            "On 2026-05-05, Green One A C",
        ),
        (
            "<fieldset><legend>Order</legend>paper</fieldset><details><summary>More</summary>x</details>",
            "Order\npaper\nMore\nx",
        ),
        (
            "<style>\n<!--\n.h { max-height: 0 }/* .a */ @import 'x'; @media (max-width: 9em) { .a { display: none } .b {} } b.c, #d { Display: none !important }"
            " .e .f { display: none } .g { opacity: 0.5 }</style><p class=a>a</p><b class=h>h</b><b class='x c'>c</b><b id=d>d</b><p class=f>f</p><p"
            " class=g>g</p>",
            "a\n\nf\n\ng",
        ),
        (  # of another element, shown by a later rule, shown where it stands
            "<style>td.a, .b, .c { display: none } .b { display: block }</style><p class=a>a</p><p class=b>b</p><p class=c"
            " style='display:block'>c</p><p class=c>d</p>",
            "a\n\nb\n\nc",
        ),
        (
            "<b style='opacity:0'>a</b><b style='max-height:0px;overflow:hidden'>b</b><b style='Visibility: Hidden'>c</b>Whole",
            "Whole",
        ),
        ("<b>" * 5000 + "deep" + "</b>" * 5000, "deep"),
    ],
)
def test_the_readable_text_of_html(source: str, shown: str) -> None:
    assert html_text.from_html(source) == shown


@given(st.text(alphabet="<>/!-[]=\"'&;#ab pdivstylebody", max_size=200))
@settings(max_examples=300)
def test_any_markup_is_read(source: str) -> None:
    assert isinstance(html_text.from_html(source), str)


@pytest.mark.parametrize("cover", ["", "classic"])
def test_pictures_that_are_no_parts_of_the_mail_are_told(fax: Fax, cover: str) -> None:
    """A chart on the web and two in the HTML; no logo that is a part, nothing that counts readers."""
    made = fax.make(
        fax.html(
            "<p>Hello</p><img src='https://x.org/a.png' alt=Total><img src='data:image/png;base64,AA'><IMG src='data:image/png;base64,AB'>"
            "<img src='https://x.org/o.gif' width=1 height=1><img src='cid:logo'>"
        ),
        cover=cover, cover_facts={},
    )  # fmt: skip
    assert made["ledger"][-1]["note"] == (
        "not in the mail, so left out: 1 picture; printed as text, so left out: 2 pictures"
    )


def test_html_fetches_nothing_and_shows_its_text(pages: Pages) -> None:
    (page,) = pages(
        b'<html><body>Hello<img src="http://127.0.0.1:1/x.png"><link rel=stylesheet href="file:///etc/passwd">'
    )
    assert len(rows(page)) == 1


def test_a_table_wants_letters_of_one_width() -> None:
    assert sources._is_table("a\tb\nc\td\n")
    assert sources._is_table("a     b\n\nplain\n")
    assert not sources._is_table("plain text\n" * 10 + "one   wide gap\n")
    assert not sources._is_table("   only indented\n   here\n")
    assert not sources._is_table("")


def test_the_fonts_are_there() -> None:
    assert {path.name for path in Path(text._FONTS).iterdir()} >= {"DejaVuSans.ttf", "DejaVuSansMono.ttf", "LICENSE"}


# --- fonts of the system ----------------------------------------------------------------------------------------------


def test_the_system_is_asked_for_a_font() -> None:
    if systemfonts.ready() is None:
        pytest.skip("no fontconfig here")
    found = systemfonts.find("A")
    assert found
    assert Path(found[0]).is_file()
    assert systemfonts.find("\U000e1234") is None


def test_what_no_font_has_is_told(fax: Fax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_system_fonts", lambda _size: [])
    monkeypatch.setattr(systemfonts, "find", lambda _character: None)
    made = fax.make(fax.text("before \U00013000\U00013001 behind"), fax.text("nothing amiss", name="second"))
    texts = [LedgerEntry(**entry).text for entry in made["ledger"]]
    assert texts == [
        "message text: page 1; characters that no font of this gateway has are shown as boxes or not at all: U+13000 U+13001; if they matter, send a PDF with its fonts embedded",
        "second: page 2",
    ]


def test_a_document_without_its_label_is_a_document(fax: Fax) -> None:
    made = fax.make(fax.part("message text", letters(2), "body-text", disposition="", charset=None))
    assert made["pages"] == 2
    assert made["ledger"][0]["type"] == "application/pdf"
    with pytest.raises(Unfaxable, match="unknown kind"):
        fax.make(fax.part("message text", bytes(range(256)) * 9, "body-text", disposition=""))
    assert (
        fax.make(fax.part("message text", "words".encode("utf-16-le"), "body-text", charset="utf-16-le"))["pages"] == 1
    )


def test_sound_without_a_head_is_no_text(fax: Fax) -> None:
    sound = bytes(range(0x60, 0x100)) * 20
    with pytest.raises(Unfaxable, match="a file of an unknown kind"):
        fax.make(fax.part("voice.au", sound, declared_type="audio/basic"))
    assert fax.make(fax.part("words.tif", "Grüße".encode(), declared_type="image/tiff"))["pages"] == 1


def test_of_a_list_behind_a_paragraph_what_is_chosen_stays() -> None:
    text = "<p>Colour:</p><select><option>Red<option selected>Green</select><div>Size:</div><select><option>S<option>L</select>"
    assert html_text.from_html(text).split() == ["Colour:", "Green", "Size:", "S"]
