"""Layers of a PDF: which of them are printed (ISO 32000-2, 8.11.4)."""

from __future__ import annotations

import pikepdf
from pikepdf import Array, Dictionary


def settle(document: pikepdf.Pdf) -> bool:
    """Take what a layer says of its use away where nothing applies it in print, and it is otherwise: pdfium would apply it.
    Returns whether there was any.
    """
    layers = document.Root.get("/OCProperties")
    if not isinstance(layers, Dictionary):
        return False
    rules = layers.get("/D", Dictionary())
    applied = {
        each.objgen
        for rule in _entries(rules, "/AS") if rule.get("/Event") == "/Print"
        for each in _entries(rule, "/OCGs")
    }  # fmt: skip
    off = {each.objgen for each in _entries(rules, "/OFF")}
    if rules.get("/BaseState") == "/OFF":
        off |= {each.objgen for each in _entries(layers, "/OCGs")} - {each.objgen for each in _entries(rules, "/ON")}
    found = [
        each for each in _entries(layers, "/OCGs")
        if each.objgen not in applied and (said := _said(each)) and (said == "/OFF") != (each.objgen in off)
    ]  # fmt: skip
    for each in found:
        del each["/Usage"]
    return bool(found)


def _said(layer: pikepdf.Object) -> str:
    """What pdfium takes for the state of a layer in print, "" where it says none."""
    usage = layer.get("/Usage", Dictionary())
    return str(
        usage.get("/Print", Dictionary()).get("/PrintState") or usage.get("/View", Dictionary()).get("/ViewState") or ""
    )


def _entries(of: pikepdf.Object, name: str) -> list[pikepdf.Object]:
    found = of.get(name)
    return [each for each in found if isinstance(each, Dictionary)] if isinstance(found, Array) else []
