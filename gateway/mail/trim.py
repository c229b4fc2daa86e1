"""What a message text repeats or carries along, found by rule: quoted mails, signatures, legal notices, adverts of programs.

Only an end of the text is ever taken away, and only where a rule is sure; what is not sure stays. Each removal is told. An
HTML text is judged by its lines, and by what mail programs call the mail that is answered in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import NamedTuple

from gateway.mail import markup
from gateway.mail.markup import Line

QUOTED, SIGNATURE, DISCLAIMER, FOOTER = "quoted", "signature", "disclaimer", "footer"
ALL = (QUOTED, SIGNATURE, DISCLAIMER, FOOTER)

WHY = {  # what, and why, for the ledger
    QUOTED: ("quoted mail in the message text", "it repeats an earlier mail"),
    SIGNATURE: ("signature of the message text", "signatures are not faxed here"),
    DISCLAIMER: ("legal notice of the message text", "legal notices of mails are not faxed here"),
    FOOTER: ("footer of the message text", "it is an advert of the mail program"),
}
_LINE_END = re.compile(r"\r?\r\n|\r|\n")  # no other: a page break stays one
_SIGNATURE_LINES, _SIGNATURE_SIZE = 15, 1000  # more is no signature
_NOTICE_SIZE = 3000  # characters of a legal notice
_POSTSCRIPT = re.compile(r"\s*(?:p\.?\s?p?\.?s|n\.?b)\b[.: ]", re.IGNORECASE)
_INTRO_LINES, _WRAPPED = 3, 60  # an "On ... wrote:" may be wrapped, where a line was full: so many characters at least

# how the subject of an answer begins, and that of the mail in its head, which may be one or be sent on itself
_RE = r"(?:re|aw|antw|antwort|sv|vs|vá|odp|odg|ynt|res|ref|rif|r|на|ha|відп|ответ|απ|σχετ|返信|答复|回复|回覆|答覆|회신|رد|השב)\s*(?:\[\d+\])?\s*[:：]"
_TAGS = r"(?:\s*\[[^\[\]]{1,40}\])*\s*"  # of mail servers and ticket systems
_REPLY = re.compile(rf"{_TAGS}{_RE}", re.IGNORECASE)
_PREFIXES = re.compile(
    rf"^(?:{_TAGS}(?:{_RE}|(?:fwd?|wg|tr|rv|i|pd|enc|vb|転送|转发|轉寄)\s*[:：]))*{_TAGS}", re.IGNORECASE
)
_VERBS = (
    r"(?:wrote|writes|schrieb|geschrieben|schreef|skrev|a écrit|ha scritto|escribió|escreveu|napisał\(a\)|napisał|napisała|pisze"
    r"|kirjoitti|написал|написала|написал\(а\)|пишет|пише|írta|napsal\(a\)|napsal|yazdı|写道|寫道|のメール|έγραψε|כתב)"
)
_WROTE = re.compile(rf"(?<!\w){_VERBS}(?!\w).{{0,120}}[:：]\s*$", re.IGNORECASE | re.DOTALL)
_WHEN = re.compile(  # what such a sentence begins with; a day that is written out may be in one of the sender's own
    r"\s*+(?:.{0,80}@|(?=.{0,120}?(?:\d[:./-]\d|\b(?:19|20)\d\d\b))(?:(?:on|am|le|el|il|op|den|em|dnia|w dniu|no dia|dne|dňa|в|на|στις|在|בתאריך)"
    r"(?!\w)|\d))",
    re.IGNORECASE | re.DOTALL,
)
_QUOTING = re.compile(  # as Horde says it, which tells no day
    r"\s*(?:quoting|zitat von|citando(?: a)?|citat från|cytowanie|cituji|citeren) [^:：]{0,120}\S@\S{1,200}[:：]\s*$", re.IGNORECASE
)  # fmt: skip
_WHOSE = re.compile(r"[^\s<]@[^\s>]{1,200}>.{0,80}[:：]\s*$", re.DOTALL)  # with the time of day, in any language
_OF_NAME = re.compile(r"\s*<?[^\s<>@]+@[^\s<>]+>")  # an address whose name, and the day, end the line above
_POINTS = re.compile(  # to what stands further down: it is meant to be read, or answered there
    r"\b(?:below|beneath|underneath|hereunder|further down|at the bottom|in-?line|(?:in|see|marked|highlighted) (?:red|blue|green|bold|capitals)|(?:red|blue"
    r"|green) (?:text|font|letters)|in your (?:e-?mail|text|message)|in the text|between the lines|(?:this|following|trail(?:ing)?|e-?mail|mail) (?:thread"
    r"|chain|trail|history|conversation)|trail(?:ing)? (?:e-?)?mail|see (?:the )?(?:thread|chain|trail|history)|(?:my|our) (?:answers|comments|remarks"
    r"|replies|changes)|following (?:e-?mail|message)|unten|darunter|unterhalb|untenstehend\w*|nachfolgend\w*|nachstehend\w*|s\. ?u\.|u\. ?g\.|(?:in"
    r"|siehe) (?:rot|blau|grün|fett)|(?:rote[rn]?|blaue[rn]?|grüne[rn]?) (?:schrift|text|farbe)|(?:rot|blau|grün|farbig|gelb|fett) (?:markiert|geschrieben"
    r"|hervorgehoben)|im text|in (?:ihrer|deiner) (?:e-?mail|mail|nachricht)|zwischen den zeilen|(?:mail-?|schrift|siehe )verlauf\w*"
    r"|folgende[nr]? (?:e-?mail|mail|nachricht|anfrage|bestellung)|(?:meine[nr]?|unsere[nr]?) (?:antworten|anmerkung|kommentar)\w*|(?:mes|nos) (?:réponses"
    r"|commentaires)|(?:mis|nuestras|nuestros) (?:respuestas|comentarios)|(?:mie|nostre) risposte|ci-dessous|ci-après|en bas|plus bas|dans le texte"
    r"|en (?:rouge|bleu|vert|gras)|abajo|a continuación|en (?:rojo|azul|verde|negrita)|en el texto|sotto|di seguito|in (?:rosso|blu|verde|grassetto)"
    r"|nel testo|hieronder|onderstaande?|in het (?:rood|blauw|groen)|in de tekst|abaixo|nedan|nedenfor|nedenstående|poniżej|níže|nižšie|lentebb|alábbi\w*"
    r"|alább|alla olev\w*|alapuolella|jäljempänä|mai jos|aşağıda\w*|παρακάτω|κατωτέρω|dolje|spodaj|allpool|zemāk|žemiau|ниже|нижче|по-долу|в тексте|красным"
    r"|синим|למטה|להלן|מטה|أدناه|ادناه|بالأسفل|زیر|नीचे|dưới)(?!\w)|下記|以下|下の|インライン|赤字|青字|下面|下方|下文|如下|红色|紅色|蓝色|藍色|아래|하기와|하기의|하기 내용|빨간|ด้านล่าง|ข้างล่าง", re.IGNORECASE,
)  # fmt: skip
_ORIGINAL = re.compile(  # what stands before the head of a mail
    r"\s*(?:-{3,40}.{0,20}(?:origin|ursprüng|ursprung|oorspronkelijk|oprindelig|opprinnelig|alkuperäinen|oryginaln|původní|eredeti|orijinal|исходное"
    r"|元の|原始|원본|الأصلية).{0,30}-{3,}|-{3,40}[^-].{0,80}?"
    rf"(?<!\w){_VERBS}\s?[:：]\s*-{{3,}}|_{{10,}})\s*",
    re.IGNORECASE,
)
_GREETING = re.compile(  # who says nothing more has written what he has to say further down
    r"\s*+(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|hallo|moin|guten (?:tag|morgen|abend)|liebe[rs]?|sehr geehrte[rs]?|servus|grüezi|bonjour"
    r"|bonsoir|salut|cher|chère|madame|monsieur|hola|buen[oa]s|estimad[oa]s?|buongiorno|ciao|gentile|gentili|olá|bom dia|boa tarde|prezad[oa]s?|beste|geachte"
    r"|goedemorgen|hej|hei|witam|dzień dobry|szanown\w+|dobrý den|tisztelt|merhaba|sayın|здравствуйте|добрый день|уважаем\w+)(?: [^\s,]{1,30}){0,4}\s*[,!]?",
    re.IGNORECASE,
)
_FAREWELL = re.compile(
    r"\s*+(?:(?:(?:with )?(?:kind|best|warm) )?(?:regards|wishes)|best|cheers|sincerely|yours (?:sincerely|faithfully|truly)|mfg|lg|vg|gruß|grüße"
    r"|(?:mit )?(?:freundliche[nmr]?|viele[n]?|beste[n]?|liebe[n]?|schöne[n]?) gr[uü](?:ß|ss)e?n?|cordialement|bien cordialement|salutations|saludos|un saludo"
    r"|atentamente|(?:cordiali |distinti )?saluti|cumprimentos|atenciosamente|(?:met )?vriendelijke groet(?:en)?|(?:med )?v[eä]nlig[at]? h[iä]lsning(?:ar)?"
    r"|mvh|pozdrawiam|z poważaniem|s pozdravem|üdvözlettel|saygılarımla|с уважением)\s*[,.!]?",
    re.IGNORECASE,
)
_FORWARDED = re.compile(  # what stands before a mail that is sent on, whatever the subject says
    r"\s*-{3,40}[^-]{0,60}?(?:forward|weitergeleitet|transf[ée]r|reenviad|encaminhad|inoltrat|doorgestuur|vidarebefordra|videresend|välitett|przekazan"
    r"|przesłan|przesyłan|переслан|пересыла|перенаправлен|přeposlan|továbbít|iletil|προωθ|転送|转发|轉寄|전달)[^-]{0,60}-{3,40}\s*",
    re.IGNORECASE,
)
_GROUPWISE = re.compile(r"\s*>>> ?\S.{0,200}\S ?>>>\s*")
_TIME = re.compile(r"\d ?[:h] ?\d\d|\d\.\d\d(?![.\d])")  # of day; a form that looks like a head has at most a date
_DAY = re.compile(r"(?:19|20)\d\d|\d[./-]\d")
_SUBJECTS = r"subject|betreff|objet|asunto|assunto|oggetto|onderwerp|emne|ämne|aihe|temat|předmět|predmet|tárgy|тема|konu|θέμα|件名|主题|主題|主旨|제목|الموضوع|נושא"
_SENDERS = (  # first in the head of mail programs; a memo says first whom it is for
    r"from|sent|von|gesendet|de|da|van|från|fra|lähettäjä|od|feladó|от|від|kimden|από|差出人|发件人|寄件者|보낸 사람|من|מאת"
)
_FIELDS = (
    rf"{_SUBJECTS}|{_SENDERS}|date|to|cc|kopie|copie|datum|an|envoyé|à|para|enviad[oa](?: em)?|fecha|data|inviato|a|verzonden|aan|skickat|till|sendt|dato|til"
    r"|lähetetty|vastaanottaja|wysłano|do|dw|odesláno|komu|elküldve|címzett|отправлено|дата|кому|копия|надіслано|gönderildi|tarih|kime|bilgi"
    r"|στάλθηκε|προς|送信日時|日時|宛先|发送时间|发送日期|日期|收件人|抄送|寄件日期|收件者|副本|보낸 날짜|받는 사람|참조|تاريخ الإرسال|التاريخ|إلى|نسخة|נשלח"
    r"|תאריך|אל"
)
_SUBJECT, _SENDER, _HEADER = (
    re.compile(rf"[*\s]*(?:{words})\s*(?::[*\s]|：)", re.IGNORECASE) for words in (_SUBJECTS, _SENDERS, _FIELDS)
)
_BARE_SUBJECT, _BARE_HEADER = (
    re.compile(rf"[*\s]*(?:{words})[*\s]*[\s:：]", re.IGNORECASE) for words in (_SUBJECTS, _FIELDS)
)
_WRAPPED_SUBJECT = 40  # characters a subject has at least that takes two lines
_HEADERS, _HEAD = 3, 12  # lines of such a head that must stand together; those among which its subject is
# what an advert names: other words are the sender's own
_MAKE = (
    r"(?:i-?(?:phone?|pad|pod)(?:['’]?[a-zıó]{1,5})?|imac|macbook|mac|apple|android|samsung|galaxy|huawei|xiaomi|redmi|oppo|pixel|nokia|motorola|moto|sony"
    r"|xperia|htc|oneplus|fairphone|blackberry|windows|outlook|yahoo|proton\w*|gmx|web\.de|t-online|telekom|freenet|gmail|thunderbird|k-9"
    r"|tuta(?:nota)?|mailbird|bluemail|mail (?:for windows|für windows|app))(?![a-zß-ÿ])"
)
_DEVICE = (
    rf"(?:\S+ )?(?:{_MAKE}|(?:mobile?|(?:mobil)?gerät|mobiltelefon|handy|smartphone|telefoon|telefon|téléphone|teléfono|telefono|phone|tablet"
    r"|portable|cellulare|celular|móvil|device)\b)"
)
_MODEL = (  # what may stand behind that
    rf"(?:[\s,/+-]+(?:{_MAKE}|(?:mail|e-?mail|app|for|für|pour|para|per|by|at&t|on|auf|from|von|smartphone|phone|tablet|mobile|device|handy|secure"
    r"|enterprise|wireless|beta|pro|max|plus|ultra|mini|note|fold|flip|edge|air|se|lite|tab|[a-z]{0,2}\d{1,3}[a-z]{0,2}|verizon|vodafone|orange|o2"
    r"|t-mobile|sprint|network|using|tapatalk|ios|gerät|mobiltelefon|mit|dla|systemu|для)\b)){0,8}"
)
_SENT = (  # and what before it
    r"(?:sent (?:from|via|with)|gesendet (?:mit|von|über)|envoyé (?:de|depuis|à partir d[e’'])|enviado (?:desde|do|de)|inviato da|verstuurd vanaf"
    r"|skickat från|sendt fra|wysłan[eo] (?:z|za pomocą)(?: programu)?|odesláno ze?|отправлено (?:с|из))"
)
_FETCH = r"(?:get|download|obtenir|télécharger|obtener|scarica|ottieni|obter|pobierz aplikację|получите|hole?n? (?:sie sich|dir))"
_LINK = r"\s*(?:[<(\[]?(?:https?://|www\.)\S*)?"
_FOOTER = re.compile(
    rf"\s*(?:{_SENT} ?(?:the |der |l)?{_MAKE}{_MODEL}"
    rf"|{_SENT} ?(?:my|mein(?:em|er)(?:/meiner?)?|mon|mi|meu|l mio|mijn|min|mojego|mého|моего) {_DEVICE}{_MODEL}|inviato dal mio {_DEVICE}{_MODEL}"
    rf"|(?:diese (?:nachricht|e-?mail|mail) wurde )?von (?:mein(?:em|er)(?:/meiner?)? |(?=yahoo|gmx|web|samsung)){_DEVICE}{_MODEL} gesendet"
    rf"|lähetetty {_MAKE}|{_MAKE} ?gönderildi|{_MAKE} ?から送信"
    rf"|发自我的 ?{_MAKE}|나의 {_MAKE}에서 보냄|تم الإرسال من (?:الـ ?)?{_MAKE}"
    rf"|{_FETCH} outlook (?:for|für|pour|para|per|dla systemu|для) (?:ios|android|mac)|outlook für (?:ios|android) (?:beziehen|herunterladen|holen)"
    r"|virus-free\.?\s*[<(\[]?(?:https?://)?(?:www\.)?(?:avast|avg)\.com\S*|www\.(?:avast|avg)\.com"
    r"|(?:this|diese) e-?mail (?:has been|wurde) [^.]{0,40}\b(?:avast|avg)\b[^.]{0,40}(?:software|geprüft))"
    rf"{_LINK}\.?\s*",
    re.IGNORECASE,
)
_MARKED_LINK = re.compile(r"\[([^\[\]]{1,60})\]\(https?://[^()\s]{1,200}\)")  # as Proton writes it without HTML
_ASTRAY = (  # what only a notice says: who reads it may be somebody else
    r"if you (?:have received|are not the|received)|not the intended|in error|by mistake|irrtümlich|versehentlich"
    r"|nicht der (?:richtige|beabsichtigte|vorgesehene)|par erreur|pas le destinataire|por error|no es el destinatario|per errore"
    r"|non (?:è|siete) (?:il|i) destinatar|ten onrechte|niet voor u bestemd|por engano|não (?:é|for) o destinatário|przez pomyłkę|omyłkowo"
    r"|nie (?:są państwo|jest pan|jesteś) (?:\w+ )?adresat|по ошибке|ошибочно|не являетесь|yanlışlıkla|alıcısı değil"
    r"|av misstag|(?:inte|ikke) (?:är |er )?(?:den )?(?:rätta?|rette|riktige|avsedd?e?) (?:mottagare|mottaker|modtager)"
    r"|ved (?:en )?fe[ij]l(?:takelse|tagelse)?\b|omyl(?:em|om)|nejste(?:-li)? (?:\w+ ){0,2}(?:adresát|příjemc)"
)
_LEGAL = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        r"\bconfidential|\bprivileged|vertraulich|confidentiel|confidencial|confidenzial|riservat|vertrouwelijk|poufn"
        r"|конфиденциальн|\bgizli|konfidentiel|konfidensiel|fortrolig|sekretess|důvěrn|dôvern",
        r"intended (?:only|solely|exclusively)|(?:only|solely) (?:for|to) the (?:use|person|addressee|individual|intended)"
        r"|ausschließlich für|nur für den|exclusivement|exclusivamente|esclusivamente|uso esclusivo"
        r"|uitsluitend bestemd|wyłącznie|исключительно|только для|\byalnızca|\bsadece|(?:endast|enbart|uteslutande) (?:avse|för)"
        r"|avse\w{1,3} (?:endast|enbart|uteslutande)|(?:kun|utelukkende|udelukkende) (?:beregnet|ment|til)|výhradně|výlučn|pouze (?:pro|jeho|adresát)",
        _ASTRAY,
        r"\bdelete\b|\bdestroy\b|vernichten|löschen|détruire|supprimer|elimin|cancellar|verwijder|apag|usunięci|usunąć"
        r"|удалит|\bsilin|\bsilmeniz|\bradera\b|förstör|\bslett?e?\b|vymaž|smaž|zničte|odstraňte",
        r"unauthori[sz]ed|strictly prohibited|nicht gestattet|unbefugte|interdite|prohibid|proibid|vietat"
        r"|verboden|zabronion|запрещ|yasak|förbjud|obehörig|otillåt|forbudt|u(?:autoriser|vedkommende)|zakáz|neoprávněn|nejste oprávněn",
    )
)
_SENTENCE_END = re.compile(r"(?<=\w\w)[.!?]\s+(?=\w)")
_OF_ITSELF = re.compile(  # a notice speaks of the mail it is in
    r"\b(?:th(?:is|e) (?:\S+ ){0,2}(?:e-?mail|mail|message|communication|transmission|information|transmittal)|th(?:is|e) fax|diese[rsn]? (?:e-?mail|mail"
    r"|nachricht|mitteilung|information\w*)|c(?:e|ette) (?:message|courriel|mail|e-?mail|communication|transmission)|est[ea] (?:mensaje|mensagem|correo|e-?mail"
    r"|comunicación)|quest[ao] (?:messaggio|e-?mail|comunicazione)|presente (?:messaggio|mensaje|mensagem|e-?mail|comunicazione)|di[te]t? (?:e-?mail)?"
    r"(?:bericht|e-?mail)|(?:niniejsz\w+|ta|tej) (?:wiadomoś\w+|korespondencj\w+|e-?mail)|(?:данн|настоящ|эт)\w+ (?:электронн\w+ )?(?:сообщени|письм)\w+"
    r"|bu (?:elektronik )?(?:e-?posta|mesaj|ileti)|(?:detta|denna|denne|dette) (?:e-?post|e-?mail|mail|meddelande|meddelelse|melding)\w*"
    r"|(?:tento|tohoto|t[au]to|této|táto|túto|tejto) (?:e-?mail|zpráv|správ)\w*)", re.IGNORECASE,
)  # fmt: skip
_IF = re.compile(  # and to whom it may not concern
    r"\b(?:if (?:you|the reader|this|it|received|not)|should you|wenn sie|sollten sie|falls sie|s(?:i|e) (?:vous|usted|lo|la|ha|no|este|você|avete|lei|non|siete|ricev\w+)"
    r"|(?:als|indien|mocht) u|nel caso|caso (?:não|tenha|receba)|se (?:recebeu|receber|tiver)|jeżeli|jeśli|если|(?:om|hvis|dersom) du|pokud|jestliže|nejste-li|ak ste|\w{1,20}(?:ysanız|iseniz|ıysanız|ışsanız|değilseniz))\b",
    re.IGNORECASE,
)  # fmt: skip
_TITLE = re.compile(r"\b(?:notice|disclaimer|hinweis|important|wichtig)\b", re.IGNORECASE)
_LEGAL_SIGNS = 3  # of these must be there, and the one of mail that went astray


class Trimmed(NamedTuple):
    """``removed``: what and why, for the ledger."""

    text: str
    removed: list[tuple[str, str]]


def trim(text: str, wanted: Collection[str], subject: str) -> Trimmed:
    """``text`` without the ends that ``wanted`` (of :data:`ALL`) names. A text of nothing else is left as it is."""
    lines = [Line(line, 0) for line in _LINE_END.split(text)]
    kept, removed = _kept(lines, wanted, subject)
    return Trimmed("\n".join(line.text for line in lines[:kept]).rstrip() if removed else text, removed)


def trim_html(text: str, wanted: Collection[str], subject: str) -> Trimmed:
    """As :func:`trim`, of an HTML text: its source is cut off, with what is open there left open."""
    lines = markup.lines(text)
    kept, removed = _kept(lines, wanted, subject)
    return Trimmed(text[: lines[kept].start] if removed else text, removed)


def spare(text: str, wanted: Collection[str], *, html: bool) -> str:
    """Why a text is nothing to print beside a document: it is nothing but ends, none of them a quoted mail. "" else."""
    lines = markup.lines(text) if html else [Line(line, 0) for line in _LINE_END.split(text)]
    kept, removed = _kept([Line("words of his own", 0), Line("", 0), *lines], set(wanted) - {QUOTED}, "")
    is_nothing = removed and not any(line.text.strip() for line in lines[: kept - 2])
    return "; ".join(why for _, why in removed) if is_nothing else ""


def _kept(lines: Sequence[Line], wanted: Collection[str], subject: str) -> tuple[int, list[tuple[str, str]]]:
    """How many lines stay, and what goes, for the ledger."""
    whole = len(lines)
    found: list[str] = []
    for _ in range(len(ALL)):  # one may stand behind another
        for kind, rule in _RULES:
            if kind not in wanted or (kind == QUOTED and not _REPLY.match(subject)):
                continue
            at = rule(lines, subject)
            if at is not None and not any(_says(line) for line in lines[:at]):
                return whole, []
            if at is not None:
                found.append(kind)
                lines = lines[:at]
                break
        else:
            break
    return len(lines), [WHY[kind] for kind in dict.fromkeys(reversed(found))]


def _says(line: Line) -> bool:
    """Whether a reader finds words in it."""
    return bool(line.text.strip(f"{markup.PICTURE}> \t")) and not line.rule


def _quoted(lines: Sequence[Line], subject: str) -> int | None:
    """Where the mail that is answered begins: lines with ``>`` to the end behind a line that says whose they are, or all
    that follows a head of From, Sent, To, Subject. Where the answer points to it, it is part of what is said.
    """
    at = _headed(lines, subject)
    if at is None:
        at = _introduced(lines)
    said = [line.text.rstrip() for line in lines[: at or 0] if _says(line)]
    is_forwarding = any(_FORWARDED.fullmatch(line) for line in said)
    is_more_to_come = is_forwarding or _is_mute(said) or "\n".join(said).endswith((":", "："))
    return None if is_more_to_come or _POINTS.search("\n".join(said)) else at


def _is_mute(said: Sequence[str]) -> bool:
    """Whether who answers has greeted and taken his leave, and no more: his answers stand further down."""
    said = list(takewhile(lambda line: line != "--", said))  # a signature
    rest = said[1:] if said and _GREETING.fullmatch(said[0]) else said
    if not rest:
        return bool(said)
    return bool(_FAREWELL.fullmatch(rest[0])) or (len(said) == 1 and said[0].endswith((",", "，", "!")))


def _headed(lines: Sequence[Line], subject: str) -> int | None:
    """Where such a head begins: a line before it says so, or it has the ``subject`` of the answer. Where it is followed by a
    line with ``>``, those without are the answers.
    """
    for at, line in enumerate(lines):
        is_marked = (
            line.head
            or _is_groupwise(line.text)
            or (_ORIGINAL.fullmatch(line.text) and _is_head(lines, at + 1, bare="_" not in line.text))
        )
        if is_marked or (_SENDER.match(line.text) and _is_about(lines, at, subject)):
            quoted = [_is_quoted(each) for each in lines[at + 1 :] if _says(each) and not _HEADER.match(each.text)]
            if quoted[:1] == [True] and not all(quoted):
                return None
            return at - 1 if line.head and at and lines[at - 1].rule else at
    return None


def _introduced(lines: Sequence[Line]) -> int | None:
    """Where the line stands that says whose the lines with ``>`` are: before them, or as the first of them (Apple)."""
    end = _end(lines)
    at = end
    while at and (not lines[at - 1].text.strip() or _is_quoted(lines[at - 1])):
        at -= 1
    if not any(line.text.strip() for line in lines[at:end]):
        return None
    first = next(n for n in range(at, end) if lines[n].text.strip())
    for stop in range(first + 1, min(end, first + _INTRO_LINES) + 1):
        if _is_intro(" ".join(line.text.lstrip().removeprefix(">") for line in lines[first:stop])):
            return first
    found = None
    for start in range(at - 1, max(-1, at - _INTRO_LINES - 1), -1):
        if not lines[start].text.strip() or (start < at - 1 and not _is_wrapped(lines[start], lines[start + 1])):
            break
        if lines[start].intro or _is_intro(" ".join(line.text for line in lines[start:at])):
            found = start
            if not _OF_NAME.match(lines[start].text) or _TIME.search(lines[start].text):
                break
    return found


def _is_intro(words: str) -> bool:
    is_said = _WROTE.search(words) and _WHEN.match(words)
    return bool(is_said or _QUOTING.match(words) or (_WHOSE.search(words) and _TIME.search(words)))


def _is_quoted(line: Line) -> bool:
    return line.text.lstrip().startswith(">")


def _is_wrapped(line: Line, following: Line) -> bool:
    """Whether a line has ended because there was no room for the next word."""
    return len(f"{line.text} {following.text.split(maxsplit=1)[0]}") >= _WRAPPED


def _is_groupwise(text: str) -> bool:
    """Whether this line stands before the mail that is answered: ``>>> Bob <bob@example.org> 11/26/2026 9:12 AM >>>``."""
    return bool(_GROUPWISE.fullmatch(text) and _TIME.search(text) and _DAY.search(text))


def _is_head(lines: Sequence[Line], at: int, *, bare: bool = False) -> bool:
    """Whether the head of a mail stands there, ``bare``: perhaps without the colons (eM Client)."""
    header, subject = (_BARE_HEADER, _BARE_SUBJECT) if bare else (_HEADER, _SUBJECT)
    filled = [line.text for line in lines[at : at + _HEAD] if line.text.strip()]
    first = filled[:_HEADERS]
    is_one = len(first) == _HEADERS and all(map(header.match, first)) and any(map(subject.match, filled))
    return is_one and any(_TIME.search(line) for line in filled if header.match(line))


def _is_about(lines: Sequence[Line], at: int, subject: str) -> bool:
    """Whether a head begins there that says day and time in one line, and names a ``subject``; a long one may be wrapped."""
    if (at and _HEADER.match(lines[at - 1].text)) or not _is_head(lines, at):
        return False
    head = [line.text for line in lines[at : at + _HEAD]]
    if not any(_HEADER.match(text) and _TIME.search(text) and _DAY.search(text) for text in head):
        return False
    named = next((text[found.end() :].strip("* ") for text in head if (found := _SUBJECT.match(text))), "")
    ours, theirs = (" ".join(_PREFIXES.sub("", text, count=1).split()).casefold() for text in (subject, named))
    return bool(theirs) and (ours == theirs or (len(theirs) >= _WRAPPED_SUBJECT and ours.startswith(theirs)))


def _signature(lines: Sequence[Line], _subject: str) -> int | None:
    """Where the signature begins: the one line of two dashes and a blank, RFC 3676 section 4.3, with little behind it.

    Behind one above the mail that is answered may stand the answers, behind any a postscript; one below the head of a mail is
    of what is forwarded.
    """
    marks = [at for at, line in enumerate(lines) if line.text == "-- "]
    if len(marks) != 1 or len(lines) - marks[0] > _SIGNATURE_LINES + 2:
        return None
    behind = lines[marks[0] + 1 :]
    if (
        any(_is_quoted(line) or line.intro or _POSTSCRIPT.match(line.text) for line in behind)
        or sum(len(line.text) for line in behind) > _SIGNATURE_SIZE
    ):
        return None
    is_forwarding = any(
        line.head or (_HEADER.match(line.text) and _is_head(lines, at)) for at, line in enumerate(lines)
    )
    return None if is_forwarding else marks[0]


def _disclaimer(lines: Sequence[Line], _subject: str) -> int | None:
    """Where the legal notice begins: in the last paragraph, or behind a drawn line, when what stands there speaks as such."""
    end = _end(lines)
    starts = [
        at
        for at in range(end)
        if lines[at].text.strip() and (at == 0 or not lines[at - 1].text.strip() or lines[at - 1].rule)
    ]
    for start in starts[-1:-4:-1]:
        notice = " ".join(line.text for line in lines[start:end])
        if len(notice) > _NOTICE_SIZE:
            return None
        behind_rule = start > 0 and lines[start - 1].rule
        paragraph = " ".join(line.text for line in lines[start : next((at for at in starts if at > start), end)])
        if (start == starts[-1] or (behind_rule and _signs(paragraph) > 1)) and _is_notice(notice):
            if behind_rule:
                return None if _has_own_words(lines[start].text) else start - 1
            # what stands before its first sign may be the sender's own: he set no blank line
            first = next((at for at in range(start, end) if any(sign.search(lines[at].text) for sign in _LEGAL)), start)
            while first > start and _goes_on(lines[first - 1].text, lines[first].text):
                first -= 1
            return None if _has_own_words(lines[first].text) else first
    return None


def _has_own_words(line: str) -> bool:
    """Whether a sentence that is none of a notice stands before it in one line, as in a table or a paragraph of one line."""
    begin = min((found.start() for sign in _LEGAL if (found := sign.search(line))), default=0)
    sentence = _SENTENCE_END.search(line, 0, begin)
    said = line[: sentence.end()] if sentence else ""
    return bool(said) and not (_OF_ITSELF.search(said) or _TITLE.search(said))


def _goes_on(line: str, following: str) -> bool:
    """Whether a sentence that begins in a line ends in the next."""
    return following.lstrip()[:1].islower() and not line.rstrip(' )"').endswith((".", "!", "?", ":", ";"))


def _is_notice(text: str) -> bool:
    """Whether it warns strangers: a letter that forbids something, calls it confidential or asks to delete it, does not."""
    speaks = re.search(_ASTRAY, text, re.IGNORECASE) and _OF_ITSELF.search(text) and _IF.search(text)
    return bool(speaks) and _signs(text) >= _LEGAL_SIGNS


def _signs(text: str) -> int:
    return sum(bool(sign.search(text)) for sign in _LEGAL)


def _footer(lines: Sequence[Line], _subject: str) -> int | None:
    """Where the last line stands when it is an advert of the program."""
    end = _end(lines)
    last = " ".join(lines[end - 1].text.split()) if end else ""  # many blanks in a row would take long
    return end - 1 if _FOOTER.fullmatch(_MARKED_LINK.sub(r"\1", last)) else None


def _end(lines: Sequence[Line]) -> int:
    """How many lines there are without the blank ones at the end."""
    end = len(lines)
    while end and not lines[end - 1].text.strip():
        end -= 1
    return end


_RULES: tuple[tuple[str, Callable[[Sequence[Line], str], int | None]], ...] = (
    (FOOTER, _footer), (DISCLAIMER, _disclaimer), (QUOTED, _quoted), (SIGNATURE, _signature),
)  # fmt: skip
