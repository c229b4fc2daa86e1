"""Layers of a PDF: which of them are printed (ISO 32000-2, 8.11.4)."""

from __future__ import annotations

import pikepdf
from pikepdf import Array, Dictionary

Number = tuple[int, int]
_DEEPEST = 16  # rules within a rule


def settle(document: pikepdf.Pdf) -> bool:
    """Take what a layer says of its use away where nothing applies it in print, and it is otherwise: pdfium would apply it.
    Returns whether there was any.
    """
    applied, off = _rules(document)
    found = [
        each for each in _layers(document)
        if each.objgen not in applied and (said := _said(each)) and (said == "/OFF") != (each.objgen in off)
    ]  # fmt: skip
    for each in found:
        del each["/Usage"]
    return bool(found)


def hidden(document: pikepdf.Pdf) -> set[Number]:
    """The layers that are not printed, by their numbers."""
    applied, off = _rules(document)
    return {
        each.objgen for each in _layers(document)
        if (said == "/OFF" if each.objgen in applied and (said := _said(each)) else each.objgen in off)
    }  # fmt: skip


def for_screens(document: pikepdf.Pdf) -> int:
    """How many layers are seen on a screen and not printed."""
    return len(hidden(document) - _rules(document)[1])


def is_hidden(layer: pikepdf.Object, off: set[Number]) -> bool:
    """Whether what belongs to a layer, or to several of them by a rule of its own (8.11.2.2), is not printed."""
    if not isinstance(layer, Dictionary) or layer.get("/Type") != "/OCMD":
        return layer.objgen in off
    if isinstance(rule := layer.get("/VE"), Array):
        return not _holds(rule, off, _DEEPEST)
    group = layer.get("/OCGs")
    are_off = [each.objgen in off for each in ([group] if isinstance(group, Dictionary) else _entries(layer, "/OCGs"))]
    some, all_of_them = any(are_off), all(are_off)
    by_policy = {"/AllOn": some, "/AnyOff": not some, "/AllOff": not all_of_them}
    return bool(are_off) and by_policy.get(str(layer.get("/P")), all_of_them)


def _holds(rule: pikepdf.Object, off: set[Number], depth: int) -> bool:
    if not isinstance(rule, Array):
        return rule.objgen not in off
    if not depth:
        return True
    operator, *operands = rule
    are_on = [_holds(each, off, depth - 1) for each in operands]
    return not any(are_on) if operator == "/Not" else any(are_on) if operator == "/Or" else all(are_on)


def _layers(document: pikepdf.Pdf) -> list[pikepdf.Object]:
    return _entries(_part(document.Root, "/OCProperties"), "/OCGs")


def _rules(document: pikepdf.Pdf) -> tuple[set[Number], set[Number]]:
    """The layers whose use is applied in print, and those that are off."""
    rules = _part(_part(document.Root, "/OCProperties"), "/D")
    applied = {
        each.objgen
        for rule in _entries(rules, "/AS") if rule.get("/Event") == "/Print"
        for each in _entries(rule, "/OCGs")
    }  # fmt: skip
    off = {each.objgen for each in _entries(rules, "/OFF")}
    if rules.get("/BaseState") == "/OFF":
        off |= {each.objgen for each in _layers(document)} - {each.objgen for each in _entries(rules, "/ON")}
    return applied, off


def _said(layer: pikepdf.Object) -> str:
    """What pdfium takes for the state of a layer in print, "" where it says none."""
    usage = _part(layer, "/Usage")
    return str(_part(usage, "/Print").get("/PrintState") or _part(usage, "/View").get("/ViewState") or "")


def _part(of: pikepdf.Object, name: str) -> pikepdf.Object:
    found = of.get(name)
    return found if isinstance(found, Dictionary) else Dictionary()


def _entries(of: pikepdf.Object, name: str) -> list[pikepdf.Object]:
    found = of.get(name)
    return [each for each in found if isinstance(each, Dictionary)] if isinstance(found, Array) else []
