"""Layers of a PDF: which of them are printed (ISO 32000-2, 8.11.4)."""

from __future__ import annotations

import pikepdf
from pikepdf import Array, Dictionary


def settle(document: pikepdf.Pdf) -> bool:
    """Take what a layer says of its use away where nothing applies it in print: pdfium would. Returns whether there was any."""
    layers = document.Root.get("/OCProperties")
    if not isinstance(layers, Dictionary):
        return False
    applied = {
        each.objgen
        for rule in _entries(layers.get("/D", Dictionary()), "/AS") if rule.get("/Event") == "/Print"
        for each in _entries(rule, "/OCGs")
    }  # fmt: skip
    found = [each for each in _entries(layers, "/OCGs") if "/Usage" in each and each.objgen not in applied]
    for each in found:
        del each["/Usage"]
    return bool(found)


def _entries(of: pikepdf.Object, name: str) -> list[pikepdf.Object]:
    found = of.get(name)
    return [each for each in found if isinstance(each, Dictionary)] if isinstance(found, Array) else []
