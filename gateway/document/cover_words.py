"""The words of cover pages, in each language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

_ENGLISH = {
    "fax": "Fax", "title": "Fax transmission", "to": "To", "from": "From", "company": "Company",
    "department": "Department", "fax_number": "Fax", "voice": "Phone", "email": "E-mail", "date": "Date",
    "pages": "Pages", "including": "including this page", "regarding": "Regarding", "reference": "Reference",
    "comments": "Comments", "confidential": "Confidential",
    "notice": "This fax is intended only for the person named above and may be confidential. If you have received it by"
    " mistake, please tell the sender and destroy all pages; do not copy them or pass them on.",
}  # fmt: skip
_GERMAN = {
    "fax": "Fax", "title": "Telefax", "to": "An", "from": "Von", "company": "Firma", "department": "Abteilung",
    "fax_number": "Fax", "voice": "Telefon", "email": "E-Mail", "date": "Datum", "pages": "Seiten",
    "including": "mit dieser Seite", "regarding": "Betreff", "reference": "Zeichen",
    "comments": "Bemerkungen", "confidential": "Vertraulich",
    "notice": "Dieses Fax ist nur für den oben genannten Empfänger bestimmt und kann vertraulich sein. Haben Sie es"
    " irrtümlich erhalten, verständigen Sie bitte den Absender und vernichten Sie alle Seiten; bitte kopieren Sie sie"
    " nicht und geben Sie sie nicht weiter.",
}  # fmt: skip
_FRENCH = {
    "fax": "Fax", "title": "Télécopie", "to": "À", "from": "De", "company": "Société", "department": "Service",
    "fax_number": "Fax", "voice": "Téléphone", "email": "E-mail", "date": "Date", "pages": "Pages",
    "including": "y compris celle-ci", "regarding": "Objet", "reference": "Référence", "comments": "Message",
    "confidential": "Confidentiel",
    "notice": "Cette télécopie est destinée à la seule personne nommée ci-dessus et peut être confidentielle. Si vous"
    " l’avez reçue par erreur, merci d’en informer l’expéditeur et de détruire toutes les pages, sans les copier ni les"
    " transmettre.",
}  # fmt: skip
_SPANISH = {
    "fax": "Fax", "title": "Transmisión por fax", "to": "Para", "from": "De", "company": "Empresa",
    "department": "Departamento", "fax_number": "Fax", "voice": "Teléfono", "email": "Correo", "date": "Fecha",
    "pages": "Páginas", "including": "incluida esta", "regarding": "Asunto", "reference": "Referencia",
    "comments": "Comentarios", "confidential": "Confidencial",
    "notice": "Este fax va dirigido únicamente a la persona arriba indicada y puede ser confidencial. Si lo ha recibido"
    " por error, avise al remitente y destruya todas las páginas; no las copie ni las entregue a otros.",
}  # fmt: skip

WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"en": _ENGLISH, "de": _GERMAN, "fr": _FRENCH, "es": _SPANISH}
)

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
_DATES = {
    "en": "{month} {day}, {year}",
    "de": "{day}. {month} {year}",
    "fr": "{day} {month} {year}",
    "es": "{day} de {month} de {year}",
}


def date(when: datetime, language: str) -> str:
    """``January 31, 2026``, as the language writes it."""
    month = _MONTHS[language].split()[when.month - 1]
    return _DATES[language].format(day=when.day, month=month, year=when.year)
