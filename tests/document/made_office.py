"""Office documents as small as LibreOffice takes them, each with one word to find."""

from __future__ import annotations

import base64
import io
import re
import zipfile

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "application/vnd.openxmlformats-officedocument"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SLIDES = "http://schemas.openxmlformats.org/presentationml/2006/main"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
_BOOK = f'<workbook xmlns="{_SHEET}" xmlns:r="{_RELATIONS}"><sheets><sheet name="A" sheetId="1" r:id="worksheet1"/></sheets></workbook>'
_OPEN = "urn:oasis:names:tc:opendocument:xmlns"
_SHAPE = (
    '<p:sp><p:nvSpPr><p:cNvPr id="2" name="a"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr><a:xfrm><a:off x="914400"'
    ' y="914400"/><a:ext cx="5000000" cy="900000"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/></a:prstGeom></p:spPr>'
    "<p:txBody><a:bodyPr/><a:p><a:r><a:t>Word</a:t></a:r></a:p></p:txBody></p:sp>"
)


def _zip(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(name, content if name == "mimetype" else f'<?xml version="1.0"?>{content}')
    return out.getvalue()


def _relations(**targets: str) -> str:
    each = "".join(
        f'<Relationship Id="{key}" Type="{_RELATIONS}/{key.rstrip("1")}" Target="{target}"/>'
        for key, target in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{each}</Relationships>'


def _openxml(root: str, kind: str, files: dict[str, str], **more: str) -> bytes:
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{_TYPES}.{type_}+xml"/>'
        for name, type_ in {root: kind, **more}.items()
    )
    types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package'
        f'.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )
    return _zip({"[Content_Types].xml": types, "_rels/.rels": _relations(officeDocument=root), **files})


def docx() -> bytes:
    body = f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>Word</w:t></w:r></w:p></w:body></w:document>'
    return _openxml("word/document.xml", "wordprocessingml.document.main", {"word/document.xml": body})


def xlsx() -> bytes:
    cell = '<c r="A1" t="inlineStr"><is><t>Word</t></is></c>'
    sheet = f'<worksheet xmlns="{_SHEET}"><sheetData><row r="1">{cell}</row></sheetData></worksheet>'
    files = {
        "xl/workbook.xml": _BOOK,
        "xl/_rels/workbook.xml.rels": _relations(worksheet1="worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": sheet,
    }
    sheets = {"xl/worksheets/sheet1.xml": "spreadsheetml.worksheet"}
    return _openxml("xl/workbook.xml", "spreadsheetml.sheet.main", files, **sheets)


def in_two_fonts(number: int, measure: str, shown: str) -> bytes:
    """A book in one font with a number in another, as "Arial 10", in a column that it just fills."""
    fonts = "".join(
        f'<font><sz val="{size}"/><name val="{name}"/></font>' for name, size in (measure.split(), shown.split())
    )
    styles = f'<styleSheet xmlns="{_SHEET}"><fonts>{fonts}</fonts><cellStyleXfs><xf/></cellStyleXfs><cellXfs><xf/><xf fontId="1"/></cellXfs></styleSheet>'
    wide = f'<cols><col min="1" max="1" width="{len(str(number))}.7" customWidth="1"/></cols>'
    cell = f'{wide}<sheetData><row r="2"><c r="A2" s="1"><v>{number}</v></c></row>'
    files = {
        "xl/workbook.xml": _BOOK,
        "xl/_rels/workbook.xml.rels": _relations(worksheet1="worksheets/sheet1.xml", styles="styles.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEET}">{cell}</sheetData></worksheet>',
        "xl/styles.xml": styles,
    }
    kinds = {"xl/worksheets/sheet1.xml": "spreadsheetml.worksheet", "xl/styles.xml": "spreadsheetml.styles"}
    return _openxml("xl/workbook.xml", "spreadsheetml.sheet.main", files, **kinds)


def pptx() -> bytes:
    names = f'xmlns:p="{_SLIDES}" xmlns:a="{_DRAWING}" xmlns:r="{_RELATIONS}"'
    show = f'<p:presentation {names}><p:sldIdLst><p:sldId id="256" r:id="slide1"/></p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/></p:presentation>'
    group = '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
    slide = f"<p:sld {names}><p:cSld><p:spTree>{group}{_SHAPE}</p:spTree></p:cSld></p:sld>"
    files = {
        "ppt/presentation.xml": show,
        "ppt/_rels/presentation.xml.rels": _relations(slide1="slides/slide1.xml"),
        "ppt/slides/slide1.xml": slide,
    }
    slides = {"ppt/slides/slide1.xml": "presentationml.slide"}
    return _openxml("ppt/presentation.xml", "presentationml.presentation.main", files, **slides)


_BODIES = {
    "text": "<text:p>Word</text:p>",
    "spreadsheet": '<table:table table:name="A"><table:table-row><table:table-cell office:value-type="string"><text:p>Word</text:p>'
    "</table:table-cell></table:table-row></table:table>",
    "presentation": '<draw:page><draw:frame svg:width="9cm" svg:height="2cm" svg:x="2cm" svg:y="2cm"><draw:text-box>'
    "<text:p>Word</text:p></draw:text-box></draw:frame></draw:page>",
}  # fmt: skip
_NAMES = (
    f'xmlns:office="{_OPEN}:office:1.0" xmlns:text="{_OPEN}:text:1.0" xmlns:table="{_OPEN}:table:1.0"'
    f' xmlns:draw="{_OPEN}:drawing:1.0" xmlns:svg="{_OPEN}:svg-compatible:1.0" xmlns:style="{_OPEN}:style:1.0"'
    f' xmlns:presentation="{_OPEN}:presentation:1.0" office:version="1.2"'
)


def opendocument(kind: str) -> bytes:
    """``text``, ``spreadsheet`` or ``presentation``."""
    mime = f"application/vnd.oasis.opendocument.{kind}"
    body = f"<office:body><office:{kind}>{_BODIES[kind]}</office:{kind}></office:body>"
    manifest = (
        f'<m:manifest xmlns:m="{_OPEN}:manifest:1.0" m:version="1.2"><m:file-entry m:full-path="/" m:media-type="{mime}"/>'
        '<m:file-entry m:full-path="content.xml" m:media-type="text/xml"/></m:manifest>'
    )
    content = f"<office:document-content {_NAMES}>{body}</office:document-content>"
    return _zip({"mimetype": mime, "META-INF/manifest.xml": manifest, "content.xml": content})


def flat(kind: str) -> bytes:
    """As :func:`opendocument`, in one XML."""
    body = f"<office:body><office:{kind}>{_BODIES[kind]}</office:{kind}></office:body>"
    mime = f"application/vnd.oasis.opendocument.{kind}"
    return (
        f'<?xml version="1.0"?>\n<office:document {_NAMES} office:mimetype="{mime}">{body}</office:document>'.encode()
    )


def labels() -> bytes:
    """A sheet of labels of Writer, which are to be kept alike."""
    settings = (
        f'<office:settings xmlns:c="{_OPEN}:config:1.0" xmlns:ooo="http://openoffice.org/2004/office"><c:config-item-set c:name="ooo:configuration-settings"><c:config-item'
        ' c:name="IsLabelDocument" c:type="boolean">true</c:config-item></c:config-item-set></office:settings>'
    )
    package, manifest = opendocument("text"), "META-INF/manifest.xml"
    package = changed(
        package, manifest, b"</m:", b'<m:file-entry m:full-path="settings.xml" m:media-type="text/xml"/></m:'
    )
    out = io.BytesIO(package)
    with zipfile.ZipFile(out, "a") as target:
        target.writestr("settings.xml", f"<office:document-settings {_NAMES}>{settings}</office:document-settings>")
    return out.getvalue()


def word_2003() -> bytes:
    """WordprocessingML, as Word 2003 saves XML."""
    names = 'xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml"'
    body = "<w:body><w:p><w:r><w:t>Word</w:t></w:r></w:p></w:body>"
    return f'<?xml version="1.0"?>\n<?mso-application progid="Word.Document"?>\n<w:wordDocument {names}>{body}</w:wordDocument>'.encode()


def one_xml(package: bytes) -> bytes:
    """As :func:`docx`, in one XML, as Word saves it (Flat OPC)."""
    space = "http://schemas.microsoft.com/office/2006/xmlPackage"
    made = f'<?xml version="1.0"?>\n<?mso-application progid="Word.Document"?>\n<pkg:package xmlns:pkg="{space}">'
    with zipfile.ZipFile(io.BytesIO(package)) as source:
        types = dict(
            re.findall(r'PartName="/([^"]+)" ContentType="([^"]+)"', source.read("[Content_Types].xml").decode())
        )
        for name in source.namelist():
            data, kind = source.read(name), types.get(name, f"{_TYPES}.relationships+xml")
            inside = (
                f"<pkg:xmlData>{data.decode().partition('?>')[2]}</pkg:xmlData>" if data.startswith(b"<?xml")
                else f"<pkg:binaryData>{base64.encodebytes(data).decode()}</pkg:binaryData>"
            )  # fmt: skip
            if not name.startswith("["):
                made += f'<pkg:part pkg:name="/{name}" pkg:contentType="{kind}">{inside}</pkg:part>'
    return f"{made}</pkg:package>".encode()


def excel_2003() -> bytes:
    """SpreadsheetML, as web programs make tables for Excel."""
    name = "urn:schemas-microsoft-com:office:spreadsheet"
    row = '<Row><Cell><Data ss:Type="String">Word</Data></Cell></Row>'
    table = f'<Worksheet ss:Name="A"><Table>{row}</Table></Worksheet>'
    return f'<?xml version="1.0"?>\n<Workbook xmlns="{name}" xmlns:ss="{name}">{table}</Workbook>'.encode()


def changed(document: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """A document in a ZIP with something else in one of its files."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(document)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for each in source.namelist():
            data = source.read(each)
            assert each != name or old in data
            target.writestr(each, data.replace(old, new) if each == name else data)
    return out.getvalue()


_ANCHOR = b"<w:commentRangeStart w:id='0'/><w:r><w:t>Word</w:t></w:r><w:commentRangeEnd w:id='0'/><w:r><w:commentReference w:id='0'/></w:r>"
REMARK = b"<office:annotation><text:p>No!</text:p></office:annotation>Word<office:annotation-end office:name='a'/>"
_NOTE = (
    rb"{\*\atrfstart 1}Word{\*\atrfend 1}{\*\atnid A}{\*\atnauthor Ann}\chatn{\*\annotation{\*\atndate 0}{\b No\}!}}"
)
RTF = rb"{\rtf1\ansi Before" + _NOTE + rb"between" + _NOTE.replace(b"Word", b"") + rb" after}"
WITH_COMMENTS = {  # two each
    "docx": changed(docx(), "word/document.xml", b"<w:r><w:t>Word</w:t></w:r>", _ANCHOR * 2),
    "odt": changed(opendocument("text"), "content.xml", b"Word", REMARK * 2),
    "fodt": flat("text").replace(b"Word", REMARK * 2),
    "rtf": RTF,
}


def with_insertion(inserted: bytes) -> bytes:
    """A text of Word with another inserted (altChunk), as programs make it that write no Word themselves."""
    out = io.BytesIO(
        changed(
            docx(),
            "word/document.xml",
            b"</w:body>",
            f'<w:altChunk xmlns:r="{_RELATIONS}" r:id="aFChunk1"/></w:body>'.encode(),
        )
    )
    with zipfile.ZipFile(out, "a") as package:
        package.writestr("word/_rels/document.xml.rels", _relations(aFChunk1="/word/inserted.htm"))
        package.writestr("word/inserted.htm", inserted)
    return out.getvalue()


def _with_settings(document: bytes) -> bytes:
    out = io.BytesIO(document)
    with zipfile.ZipFile(out, "a") as package:
        package.writestr("word/_rels/document.xml.rels", _relations(settings="settings.xml"))
        package.writestr("word/settings.xml", f'<w:settings xmlns:w="{_WORD}"></w:settings>')
    return out.getvalue()


_REVISED = b'<w:del w:id="1" w:author="A"><w:r><w:delText>Old</w:delText></w:r></w:del>'
_REGION = (
    '<text:tracked-changes><text:changed-region text:id="c"><text:deletion><office:change-info/><text:p>Old</text:p>'
    "</text:deletion></text:changed-region></text:tracked-changes>"
)
WITH_CHANGES = {
    "docx": changed(_with_settings(docx()), "word/document.xml", b"<w:p>", b"<w:p>" + _REVISED),
    "odt": changed(
        opendocument("text"), "content.xml", b"<text:p>", f'{_REGION}<text:p><text:change text:change-id="c"/>'.encode()
    ),
    "rtf": rb"{\rtf1\ansi{\*\revtbl{A;}}{\deleted\revauthdel0 Old}{\revised\revauth0 Word}}",
}


_BLIPS = b'<a:blip r:link="rId1"/><a:blip r:embed="rId2" r:link="rId1"/><v:imagedata r:href="rId1"/><v:imagedata r:id="rId1" r:href="a"/>'


def _cells(*words: str) -> str:
    return "".join(
        f'<table:table-cell office:value-type="string"><text:p>{word}</text:p></table:table-cell>' for word in words
    )


_SHEETS = (
    '<table:table table:name="A"><table:table-column/><table:table-column table:visibility="collapse"'
    f' table:number-columns-repeated="9"/><table:table-row>{_cells("a", "b")}<table:covered-table-cell'
    ' table:number-columns-repeated="2000000000"/></table:table-row>'
    f'<table:table-row table:visibility="collapse">{_cells("c")}</table:table-row>'
    f'<table:table-row table:visibility="filter">{_cells("d", "e")}</table:table-row>'
    '<table:table-row table:visibility="filter" table:number-rows-repeated="99"><table:table-cell/></table:table-row>'
    f"<table:table-row>{_cells('f')}</table:table-row></table:table>"
    f'<table:table table:name="B" table:style-name="h"><table:table-row table:visibility="collapse">{_cells("g")}</table:table-row>'
    "</table:table>"
    f'<table:table table:name="C" table:print="false"><table:table-row>{_cells("h")}</table:table-row></table:table>'
)
_SLIDE = '<draw:page draw:style-name="h"/>'


def _styles(family: str, properties: str) -> bytes:
    style = f'<style:style style:name="h" style:family="{family}"><style:{properties}/></style:style>'
    return f"<office:automatic-styles>{style}</office:automatic-styles><office:body>".encode()


def _open_hidden(kind: str, document: bytes) -> bytes:
    """The content of an OpenDocument with hidden sheets, rows and columns, or a hidden slide."""
    if kind == "presentation":
        styles = _styles("drawing-page", 'drawing-page-properties presentation:visibility="hidden"')
        document = document.replace(b"</office:presentation>", f"{_SLIDE}</office:presentation>".encode())
    else:
        styles = _styles("table", 'table-properties table:display="false"')
        at, end = document.index(b"<table:table "), document.index(b"</office:spreadsheet>")
        document = document[:at] + _SHEETS.encode() + document[end:]
    return document.replace(b"<office:body>", styles)


def _package_hidden(kind: str) -> bytes:
    document = opendocument(kind)
    with zipfile.ZipFile(io.BytesIO(document)) as source:
        content = source.read("content.xml")
    return changed(document, "content.xml", content, _open_hidden(kind, content))


_ROWS = (
    b'<cols><col min="2" max="3" hidden="1"/><col min="5" max="16384" hidden="true"/></cols><sheetData>'
    b'<row r="1"><c r="A1"><v>1</v></c><c r="C1"><v>1</v></c><c/><c r="E1" s="1"/></row>'
    b'<row r="2" hidden="1"><c><v>1</v></c></row><row r="3" hidden="1"><c r="B3"/></row><row r="4" hidden="0"><c><v>1</v></c></row>'
)
_HIDDEN_2003 = b"<WorksheetOptions><Visible>SheetVeryHidden</Visible></WorksheetOptions></Worksheet>"
_TABLE_FATE = ["the 2 hidden rows", "the hidden column", "the hidden sheet", "the non-printing sheet"]
HIDDEN = {  # what is told of it
    "pptx": (changed(pptx(), "ppt/slides/slide1.xml", b"<p:sld ", b"<p:sld show='0' "), ["the hidden slide"]),
    "xlsx": (changed(xlsx(), "xl/workbook.xml", b"<sheet ", b'<sheet state="veryHidden" '), ["the hidden sheet"]),
    "docx-pictures": (changed(docx(), "word/document.xml", b"<w:p>", _BLIPS + b"<w:p>"), ["the 2 linked pictures"]),
    "odt-pictures": (
        changed(
            opendocument("text"),
            "content.xml",
            b"Word",
            b'<draw:image xlink:href="http://x/a.png"/><draw:image xlink:href="Pictures/1.png"/>',
        ),
        ["the linked picture"],
    ),
    "xlsx-rows": (
        changed(xlsx(), "xl/worksheets/sheet1.xml", b"<sheetData>", _ROWS),
        ["the hidden row", "the hidden column"],
    ),
    "ods": (_package_hidden("spreadsheet"), _TABLE_FATE),
    "fods": (_open_hidden("spreadsheet", flat("spreadsheet")), _TABLE_FATE),
    "odp": (_package_hidden("presentation"), ["the hidden slide"]),
    "fodp": (_open_hidden("presentation", flat("presentation")), ["the hidden slide"]),
    "excel-2003": (excel_2003().replace(b"</Worksheet>", _HIDDEN_2003), ["the hidden sheet"]),
}


def with_picture(data: bytes | None, called: str) -> bytes:
    """A text of Word that shows a picture of this name; None: it is not in the package."""
    out = io.BytesIO(docx())
    with zipfile.ZipFile(out, "a") as package:
        package.writestr("word/_rels/document.xml.rels", _relations(image1=f"media/{called}"))
        if data is not None:
            package.writestr(f"word/media/{called}", data)
    return out.getvalue()


def with_notes() -> bytes:
    """A book whose cell has a comment."""
    out = io.BytesIO(xlsx())
    remark = '<commentList><comment ref="A1" authorId="0"><text><r><t>No!</t></r></text></comment></commentList>'
    with zipfile.ZipFile(out, "a") as package:
        package.writestr("xl/worksheets/_rels/sheet1.xml.rels", _relations(comments1="../comments1.xml"))
        package.writestr(
            "xl/comments1.xml", f'<comments xmlns="{_SHEET}"><authors><author>A</author></authors>{remark}</comments>'
        )
    types = f'<Override PartName="/xl/comments1.xml" ContentType="{_TYPES}.spreadsheetml.comments+xml"/></Types>'
    return changed(out.getvalue(), "[Content_Types].xml", b"</Types>", types.encode())
