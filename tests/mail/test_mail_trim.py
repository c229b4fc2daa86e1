"""What mails repeat or carry along is taken off the end of their text, told, and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.markup import lines
from gateway.mail.parse import extract
from gateway.mail.trim import ALL, trim, trim_html

ABOVE = "Dear Ann,\nplease find the plan attached.\n"
NOTICE = (
    "This e-mail is confidential and intended only for the use of the addressee. If you have received it in error, please"
    " notify the sender and delete it. Unauthorized use is strictly prohibited."
)
OUTLOOK = "-----Original Message-----\nFrom: Bob\nSent: Monday, November 23, 2026 10:15 AM\nTo: Ann\nSubject: Plan\n\nWhere is the plan?\n"
GMAIL = "On Mon, Nov 23, 2026 at 10:15 AM Bob Example <bob@example.com>\nwrote:\n\n> Where is the plan?\n>\n> Bob\n"


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (GMAIL, "quoted mail"),
        ("Am 23.11.2026 um 10:15 schrieb Bob:\n> Wo ist der Plan?\n", "quoted mail"),
        ("Le lun. 23 nov. 2026 à 10:15, Bob a écrit :\n> Où est le plan ?\n", "quoted mail"),
        ("> On Nov 23, 2026, at 10:15 AM, Bob <bob@example.com> wrote:\n> \n> Where is the plan?\n", "quoted mail"),
        (OUTLOOK, "quoted mail"),
        (
            "________________________________\nVon: Bob\nGesendet: Montag, 23. November 2026 10:15\nAn: Ann\nBetreff: Plan\n\nWo?\n",
            "quoted mail",
        ),
        (  # as eM Client writes it, without colons
            '------ Originalnachricht ------\nVon "Bob" <bob@example.com>\nAn "Ann" <ann@example.org>\nDatum 23.11.2026 10:15:33\n'
            "Betreff Plan\n\nWo ist der Plan?\n",
            "quoted mail",
        ),
        (">>> Bob <bob@example.com> 23.11.2026 10:15 >>>\nWo ist der Plan?\n", "quoted mail"),  # GroupWise
        ("Zitat von Bob <bob@example.com>:\n\n> Wo ist der Plan?\n", "quoted mail"),  # Horde
        ("-- \nAnn Example\n+1 202 555 0123\n", "signature"),
        (NOTICE + "\n", "legal notice"),
        ("_____\n" + NOTICE + "\n\nPlease think of the environment.\n", "legal notice"),
        (
            "Diese E-Mail ist vertraulich und ausschließlich für den Adressaten bestimmt. Wenn Sie nicht der richtige Adressat"
            " sind, löschen Sie sie bitte.\n",
            "legal notice",
        ),
        ("Sent from my iPhone\n", "footer"),
        ("Sent from my T-Mobile phone\n", "footer"),
        ("Sent from my Verizon, Samsung Galaxy smartphone\n", "footer"),
        ("Sent from my Galaxy S21 5G\n", "footer"),
        ("Sent from Yahoo Mail for iPhone\n", "footer"),
        ("Sent from Mail for Windows 10\n", "footer"),
        ("Virus-free. www.avast.com <https://www.avast.com/sig-email?utm_medium=email>\n", "footer"),
        ("Von meinem Samsung Galaxy Smartphone gesendet.\n", "footer"),
        ("Gesendet mit der GMX Mail App\n", "footer"),
        ("Sent with Proton Mail secure email.\n", "footer"),
        ("Sent with [Proton Mail](https://proton.me/mail/home) secure email.\n", "footer"),
        ("Von meinem/meiner Galaxy gesendet\n", "footer"),
        ("Von Samsung-Tablet gesendet\n", "footer"),
        ("Get Outlook for iOS<https://aka.ms/o0ukef>\n", "footer"),
        ("Sent from Outlook for iOS<https://aka.ms/o0ukef>\n", "footer"),
        ("Diese Nachricht wurde von meinem Android-Gerät mit GMX Mail gesendet.\n", "footer"),
        ("Von Yahoo Mail auf Android gesendet\n", "footer"),
        ("Gesendet von Mail für Windows\n", "footer"),
        ("Holen Sie sich Outlook für iOS\n", "footer"),
        ("Télécharger Outlook pour Android\n", "footer"),
        ("Envoyé à partir d’Outlook pour iOS\n", "footer"),
        ("Enviado desde Outlook para Android\n", "footer"),
        ("Wysłane z iPhone'a\n", "footer"),
        ("Odesláno z mého iPhonu\n", "footer"),
        ("Отправлено с iPhone\n", "footer"),
        ("iPhone'umdan gönderildi\n", "footer"),
        ("iPhoneから送信\n", "footer"),
        ("发自我的iPhone\n", "footer"),
        ("www.avast.com\n", "footer"),
    ],
)
def test_an_end_that_a_rule_knows_is_taken_off_and_told(end: str, what: str) -> None:
    text, removed = trim(f"{ABOVE}\n{end}", ALL, "Re: Plan")
    assert text == ABOVE.rstrip()
    assert [name for name, _ in removed] == [next(name for name, _ in removed if what in name)]


@pytest.mark.parametrize(
    "notice",
    [
        "Le informazioni contenute in questa comunicazione e gli eventuali documenti allegati hanno carattere confidenziale e sono ad uso esclusivo del destinatario. Nel caso questa comunicazione Vi sia pervenuta per errore, Vi informiamo che la sua diffusione e riproduzione è contraria alla legge e preghiamo di darci prontamente avviso e di cancellare quanto ricevuto.",
        "Esta mensagem é confidencial e destina-se exclusivamente ao destinatário. Se recebeu esta mensagem por engano, por favor elimine-a e informe o remetente. A sua divulgação é proibida.",
        "Niniejsza wiadomość jest poufna i przeznaczona wyłącznie dla adresata. Jeżeli nie są Państwo zamierzonym adresatem lub otrzymali ją przez pomyłkę, prosimy o powiadomienie nadawcy i usunięcie tej wiadomości. Rozpowszechnianie jest zabronione.",
        "Данное сообщение является конфиденциальным и предназначено исключительно для адресата. Если Вы получили это сообщение по ошибке, пожалуйста, сообщите отправителю и удалите его. Распространение запрещено.",
        "Bu e-posta gizlidir ve yalnızca adreslenen kişinin kullanımı içindir. Bu mesajı yanlışlıkla aldıysanız lütfen göndereni bilgilendirin ve mesajı siliniz. Dağıtılması yasaktır.",
        "Detta e-postmeddelande med bilagor är endast avsett för adressaten och kan innehålla konfidentiell information. Om du har fått meddelandet av misstag, ber vi dig att meddela avsändaren och radera det. Obehörig spridning är förbjuden.",
        "Denne e-mail er fortrolig og kun beregnet til modtageren. Hvis du har modtaget e-mailen ved en fejl, bedes du give afsender besked og slette den. Uautoriseret brug er forbudt.",
        "Denne e-posten er konfidensiell og kun ment for mottakeren. Dersom du ikke er riktig mottaker eller har fått den ved en feil, ber vi deg varsle avsender og slette den.",
        "Tento e-mail a připojené dokumenty jsou důvěrné a jsou určeny pouze jeho adresátům. Jestliže jste obdržel(a) tento e-mail omylem, informujte laskavě jeho odesílatele a vymažte jej ze svého systému. Nejste-li zamýšleným adresátem tohoto e-mailu, nejste oprávněni jej rozšiřovat.",
        "Táto správa je dôverná a určená výlučne adresátovi. Ak ste túto správu dostali omylom, informujte odosielateľa a vymažte ju.",
    ],
)
def test_legal_notices_of_more_languages(notice: str) -> None:
    assert trim(f"{ABOVE}\n{notice}\n", ALL, "x").text == ABOVE.rstrip()
    for sentence in notice.split(". "):  # one alone may be the sender's own
        assert not trim(f"{ABOVE}\n{sentence}.\n", ALL, "x").removed


@pytest.mark.parametrize(
    "head",
    [
        "Von: Bob\nGesendet: Montag, 23. November 2026 10:15\nAn: Ann\nCc: Eve\nBetreff: Plan",
        "Von:        Bob\nAn:        Ann\nKopie:        Eve\nDatum:        23.11.2026 10:15\nBetreff:        Plan",
        "From: Bob <bob@example.com>\nSent: Monday, November 23, 2026 10:15 AM\nTo: Ann\nSubject: [EXTERN] Plan",
        "De : Bob\nEnvoyé : lundi 23 novembre 2026 10:15\nÀ : Ann\nObjet : RE: [EXTERN] Plan",
        "Da: Bob\nInviato: lunedì 23 novembre 2026 10:15\nA: Ann\nOggetto: R: Plan",
        "Od: Bob\nWysłano: poniedziałek, 23 listopada 2026 10:15\nDo: Ann\nTemat: Plan",
        "От: Bob\nОтправлено: 23 ноября 2026 г. 10:15\nКому: Ann\nТема: Plan",
        "Kimden: Bob\nGönderildi: 23 Kasım 2026 Pazartesi 10:15\nKime: Ann\nKonu: Plan",
        "差出人: Bob\n送信日時: 2026年11月23日 10:15\n宛先: Ann\n件名: Plan",
        "发件人：Bob\n发送时间：2026年11月23日 10:15\n收件人：Ann\n主题：Plan",
        "*Gesendet:* Montag, 23. November 2026 um 10:15 Uhr\n*Von:* Bob\n*An:* Ann\n*Betreff:* Plan",
    ],
)
def test_a_head_with_the_subject_of_the_answer_begins_the_mail_that_is_answered(head: str) -> None:
    subject = "AW: [EXTERN] Plan" if "EXTERN" in head else "AW: Plan"
    assert trim(f"{ABOVE}\n{head}\n\nWo?\n", ALL, subject).text == ABOVE.rstrip()
    text = f"{ABOVE}\n{head}\n\nWo?\n"
    assert trim(text, ALL, f"[Ticket#4711] {subject}").text == ABOVE.rstrip()
    for other in ("AW: Plans", "WG: Plan", "Plan"):
        assert trim(text, ALL, other) == (text, [])
    memo = head.splitlines()  # says first whom it is for
    text = f"MEMO\n\n{memo[2]}\n{memo[0]}\n{memo[1]}\n{memo[-1]}\n\nThe plan is this.\n"
    assert trim(text, ALL, subject) == (text, [])


@pytest.mark.parametrize(
    "intro",
    [
        "пн, 23 нояб. 2026 г. в 10:15, Bob <bob@example.com>:",
        "23.11.2026 10:15, Bob пишет:",
        "W dniu 23.11.2026 o 10:15, Bob pisze:",
        "Bob <bob@example.com>, 23 Kas 2026 Pzt, 10:15 tarihinde şunu yazdı:",
        "2026年11月23日(月) 10:15 Bob <bob@example.com>:",
        "2026/11/23 10:15、Bob <bob@example.com>のメール:",
        "Bob <bob@example.com> 于2026年11月23日周一 10:15写道：",
        "في الاثنين، 23 نوفمبر 2026 في 10:15 ص تمت كتابة ما يلي بواسطة \u202aBob\u202c\u200f <\u202abob@example.com\u202c\u200f>:",
        "Am Montag, 23. November 2026 um 10:15:11 MEZ hat Bob <bob@example.com> Folgendes geschrieben:",
        "* Bob <bob@example.com> [23-11-2026 10:15]:",
        "On Mon, 23 Nov 2026 at 10:15 AM, Bob of the office <\nbob.of.the.office@example.com> wrote:",
        "On Mon, 23 Nov 2026 at 10:15 AM, Bob of the office, who is out\n<bob.of.the.office@example.com> wrote:",
    ],
)
def test_who_wrote_what_is_quoted_may_be_said_in_any_language(intro: str) -> None:
    assert trim(f"{ABOVE}\n{intro}\n\n> Where?\n", ALL, "Re: Plan").text == ABOVE.rstrip()


@pytest.mark.parametrize("intro", ["Bob <bob@example.com> wrote:", "<bob@example.com> wrote on 22.11.2026 10:15:"])
def test_a_line_above_the_name_of_who_wrote_is_no_more_of_it(intro: str) -> None:
    own = f"{ABOVE}\nOn Mon, 23 Nov 2026, we shall bring you all twelve of them to Hamburg"
    assert trim(f"{own}\n{intro}\n\n> Where?\n", ALL, "Re: Plan").text == own


def test_several_ends_stand_behind_each_other() -> None:
    text, removed = trim(f"{ABOVE}\n-- \nAnn\n\n{GMAIL}\n{NOTICE}\n", ALL, "AW: Plan")
    assert text == ABOVE.rstrip()
    assert [name.split()[0] for name, _ in removed] == ["signature", "quoted", "legal"]


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (f"See below.\n\n{OUTLOOK}", "FW: Plan"),
        (f"See below.\n\n{OUTLOOK}", "Plan"),
        (f"{OUTLOOK}", "Re: Plan"),  # nothing of his own
        (f"{GMAIL}", "Re: Plan"),
        (f"{ABOVE}\n{GMAIL}And one thing more: bring it on Friday.\n", "Re: Plan"),  # answers below what is quoted
        (f"{ABOVE}\n> a quotation that nobody introduces\n", "Re: Plan"),
        (f"{ABOVE}\nBegin forwarded message:\n\n> From: Bob\n> Subject: Plan\n", "Re: Plan"),
        (f"{ABOVE}\nHe wrote:\nI will come tomorrow.\n", "Re: Plan"),
        (f"{ABOVE}\nZitat von Goethe:\n\n> Warte nur, balde\n", "Re: Plan"),
        (f"{ABOVE}\n>>> the gate opens at 10:15 >>>\nCome in time.\n", "Re: Plan"),
        (f"{ABOVE}\n____________\nAn Bob\nVon mir\nDatum heute 10:15\nBetreff Plan\n", "Re: Plan"),
        ("-----Original Message-----\nwas the title of the song.\n", "Re: song"),
        (ABOVE + "\n--\nA dashed line begins a table\n", "x"),
        (ABOVE + "\n-- \n" + "A long list of things to do.\n" * 40, "x"),
        (ABOVE + "\n-- \n" + "x" * 1500, "x"),
        ("-- \nAnn Example\n", "x"),
        (ABOVE + "\nThis matter is confidential, please delete the old file.\n", "x"),
        (f"{NOTICE}\n\n{ABOVE}", "x"),
        (ABOVE + "\n" + NOTICE * 20, "x"),
        ("Sent from my iPhone\n", "x"),
        (ABOVE + "\nThe photo was sent from my iPhone yesterday\n", "x"),
        (f"Please see below and sign.\n\n{OUTLOOK}", "Re: Plan"),
        (f"My answers are in-line.\n\n{OUTLOOK}", "Re: Plan"),
        (f"Siehe unten.\n\n{GMAIL}", "AW: Plan"),
        (f"Meine Antworten im Text, blau markiert.\n\n{OUTLOOK}", "AW: Plan"),
        (f"My answers are in red.\n\n{OUTLOOK}", "Re: Plan"),
        (f"Mes réponses dans le texte.\n\n{OUTLOOK}", "Re: Plan"),
        *(
            (f"{ABOVE}\n{words}\n", "x")
            for words in (
                "Gesendet mit freundlichen Grüßen",
                "Gesendet mit DHL Express, Nr. 12345",
                "Sent from my account 12345 on 3 May",
                "Von meinem Konto wurde das Geld gesendet",
                "Envoyé de mon compte le 3 mai",
                "Inviato da Mario Rossi",
                "Sent via e-mail on 3 May",
                "Sent from my office in Rome",
                "Virus-free samples are needed by Friday.",
                "Sent from my iPhone. Call me on 0171 1234567",
                "Sent from Samsung headquarters to all partners on Monday",
                "Gesendet von Telekom Bonn, Herr Meier, Zimmer 12",
                "Von meinem Telefon habe ich die Liste gesendet",
                "Get Outlook for iOS and install it before Friday please",
            )
        ),
        ("Dear Ann,\n\nwe sent you the confidential report by mistake. Please destroy it and confirm.\n", "x"),
        (
            "Sehr geehrte Frau Ann,\n\nleider ging Ihnen versehentlich eine vertrauliche Liste zu. Bitte löschen Sie sie.\n",
            "x",
        ),
        ("Dear Ann,\n\nif you have received the confidential list in error, please delete it.\n", "x"),
        (  # a letter of a lawyer
            f"{ABOVE}\nYou hold confidential files of our client. Delete them at once; unauthorised use is strictly prohibited, and"
            " they are intended only for the use of the court.\n",
            "x",
        ),
        # the sentence before the one that says who wrote it, and one that only sounds so
        (f"{ABOVE}\nOn Monday I sent you the list.\nJohn Smith wrote:\n> Where?\n", "Re: Plan"),
        (f"{ABOVE}\nAm 3.5. komme ich vorbei\nHerr Müller schrieb:\n> Wo?\n", "AW: Plan"),
        (f"{ABOVE}\nOn Monday please do what Bob wrote:\n> Deliver it.\n", "Re: Plan"),
        # answers below a signature that stands above the mail that is answered
        (f"{ABOVE}\n-- \nAnn\n\n{GMAIL}\nYes, tomorrow.\n", "Re: Plan"),
        (f"{ABOVE}\n-- \nAnn\n\n> Where is the plan?\n", "Plan"),
        (f"{ABOVE}\n-- \nAnn\n\nP.S. Bring it on Friday.\n", "Plan"),
        (f"{ABOVE}\n-- \nAnn\nPS: Bring it on Friday.\n", "Plan"),
        # dashes that part something else, and the signature of a mail that is forwarded
        (f"{ABOVE}\n-- \n5 of A\n-- \n6 of B\n", "Plan"),
        (f"{ABOVE}\n{OUTLOOK}\n-- \nBob\n+1 202 555 0123\n", "FW: Plan"),
        (
            f"{ABOVE}\n-------- Forwarded Message --------\nSubject: Plan\nDate: Mon, 23 Nov 2026 10:15:00 +0100\nFrom: Bob\nTo: Ann\n\nHere.\n"
            "-- \nBob\n+1 202 555 0123\n",
            "Fwd: Plan",
        ),
        (  # sent on as an answer
            f"{ABOVE}\n---------- Forwarded message ---------\nFrom: Bob <bob@example.org>\nDate: Mon, Nov 23, 2026 at 10:15 AM\n"
            "Subject: Plan\nTo: Ann\n\nHere.\n",
            "Re: Plan",
        ),
        (f"{ABOVE}\n-------- Weitergeleitete Nachricht --------\n\n{GMAIL}", "AW: Plan"),
        # answers between the lines, each of which the program has marked
        (f"{ABOVE}\n{OUTLOOK.replace('Where', '> Where')}In the drawer.\n> And the key?\n", "Re: Plan"),
        # a table that looks like the head of a mail
        (
            f"{ABOVE}\n__________\nFrom: Hamburg\nTo: Bremen\nDate: 03.05.2026\nSubject: Cargo\n\nPlease send the truck at 8.\n",
            "Re: Plan",
        ),
        (
            f"{ABOVE}\nFrom: Hamburg 10:15\nTo: Bremen 11:10\nDate: 3 May 2026\nSubject: Plan\n\nPlease book it.\n",
            "Re: Plan",
        ),
        (  # words between a drawn line and a notice of two paragraphs
            f"{ABOVE}\n__________\n5 pieces of plan\n\nThis message is confidential and intended only for the addressee.\n\nIf you"
            " have received it in error, delete it.\n",
            "x",
        ),
        (f"{ABOVE}\nWe accept, for 500 EUR. {NOTICE}\n", "x"),  # in one line
        *(
            (f"{words}\n\n{OUTLOOK}", "Re: Plan")
            for words in (
                "Please process as per trailing mail.",
                "Approved, see thread.",
                "See my comments.",
                "Hi Bob, see red. Ann",
                "Hi Bob,",
                "Hi Bob,\nhere we go:",
                "Hello Bob\n\nKind regards\nAnn\n+1 202 555 0123",
                "Mit freundlichen Grüßen\n\nAnn",
                "Bonjour\n-- \nAnn",
                "Hallo Bob,\nmeine Antworten. Gruß, Ann",
                "Bitte erledigen, s.u.",
                "Gerne zur folgenden Bestellung.",
                "下記の通り注文します。",
                "请见下面的邮件。",
                "아래 내용대로 처리해 주세요.",
                "انظر أدناه",
                "ראה למטה",
                "Aşağıdaki siparişi onaylıyorum.",
                "Souhlasím, viz níže.",
            )
        ),
        (f"Sent from my iPhone\n\n{GMAIL}", "Re: Plan"),  # nothing of his own, either
        (f"-- \nAnn\n\n{OUTLOOK}\n{NOTICE}\n", "Re: Plan"),
        ("", ""),
    ],
)
def test_what_is_not_sure_stays(text: str, subject: str) -> None:
    assert trim(text, ALL, subject) == (text, [])


def test_the_line_above_a_legal_notice_is_the_senders() -> None:
    text, removed = trim(f"Dear Ann,\n\nwe accept, for 500 EUR.\n{NOTICE}\n", ALL, "x")
    assert (text, len(removed)) == ("Dear Ann,\n\nwe accept, for 500 EUR.", 1)


def test_a_legal_notice_goes_from_the_beginning_of_its_sentence() -> None:
    notice = "NOTICE: This communication may contain\nsensitive or confidential words. If you are\nnot the intended reader, delete it."
    text, removed = trim(f"Dear Ann,\n\nwe accept, for 500 EUR\n{notice}\n", ALL, "x")
    assert (text, len(removed)) == ("Dear Ann,\n\nwe accept, for 500 EUR", 1)


def test_only_what_is_wanted_goes() -> None:
    assert trim(f"{ABOVE}\n-- \nAnn\n", ["quoted"], "Re: x").removed == []


# --- HTML -------------------------------------------------------------------------------------------------------------

OWN = "<p>Dear Ann,</p><table><tr><td>Plan</td><td>attached</td></tr></table><p>see <b>page 2</b>.<br></p>"
GMAIL_HTML = (
    '<br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">{}<br></div><blockquote'
    ' class="gmail_quote" style="margin:0px 0px 0px 0.8ex"><div dir="ltr">Where is the plan?<br>Bob</div></blockquote></div>'
)
OUTLOOK_HEAD = "<b>{}:</b> Bob<br><b>{}:</b> 23.11.2026 10:15<br><b>{}:</b> Ann<br><b>{}:</b> Plan"
OUTLOOK_WEB = (
    '<div id="appendonsend"></div><hr style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" dir="ltr">'
    '<font face="Calibri">{}</font><div>&nbsp;</div></div><div>Where is the plan?</div>'
)
OUTLOOK_DESKTOP = (
    "<div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in'><p class=MsoNormal>{}<o:p></o:p></p>"
    "</div></div><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>Where is the plan?<o:p></o:p></p>"
)
ENGLISH = OUTLOOK_HEAD.format("From", "Sent", "To", "Subject")


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (
            GMAIL_HTML.format("On Mon, Nov 23, 2026 at 10:15 AM Bob &lt;<a>bob@example.com</a>&gt; wrote:"),
            "quoted mail",
        ),
        (GMAIL_HTML.format("2026年11月23日(月) 10:15 Bob:"), "quoted mail"),  # in whatever language
        (
            '<div class="moz-cite-prefix">Bob on Monday:<br></div><blockquote type="cite" cite="mid:1">Where?</blockquote>',
            "quoted mail",
        ),
        (  # Apple, on a Mac
            '<div><br><blockquote type="cite"><div>On Nov 23, 2026, at 10:15 AM, Bob &lt;b@example.com&gt; wrote:</div><br'
            ' class="Apple-interchange-newline"><div>Where is<br>the plan?</div></blockquote></div>',
            "quoted mail",
        ),
        (  # and on an iPhone
            '<div dir="ltr"><br><blockquote type="cite">On Nov 23, 2026, at 10:15, Bob wrote:<br><br></blockquote></div>'
            '<blockquote type="cite"><div dir="ltr">\ufeffWhere is the plan?</div></blockquote>',
            "quoted mail",
        ),
        (OUTLOOK_WEB.format(ENGLISH), "quoted mail"),
        (OUTLOOK_WEB.format(OUTLOOK_HEAD.format("差出人", "送信日時", "宛先", "件名")), "quoted mail"),
        (OUTLOOK_WEB.format(ENGLISH).partition("</div>")[2], "quoted mail"),  # on a telephone
        (OUTLOOK_DESKTOP.format(ENGLISH), "quoted mail"),
        (OUTLOOK_DESKTOP.format(OUTLOOK_HEAD.format("Von", "Gesendet", "An", "Betreff")), "quoted mail"),
        (
            '<div id="ydp1yahoo_quoted_77" class="ydp1yahoo_quoted"><div style="color:#26282a;"><div>On Monday, November 23, 2026 at 10:15:00 AM GMT, Bob wrote:'
            "</div><div><br></div><div>Where is the plan?</div></div></div>",
            "quoted mail",
        ),
        (
            '<div class="protonmail_quote">On Monday, November 23rd, 2026 at 10:15, Bob wrote:<br><blockquote'
            ' class="protonmail_quote" type="cite">Where?</blockquote><br></div>',
            "quoted mail",
        ),
        ('<div class="moz-signature">-- <br>Ann Example<br>+1 202 555 0123</div>', "signature"),
        ('<pre class="moz-signature" cols="72">-- \nAnn &amp; Co\n+1 202 555 0123</pre>', "signature"),
        (
            '<span class="gmail_signature_prefix">--&nbsp;</span><br><div class="gmail_signature"><table><tr><td><img'
            ' src="cid:logo"></td><td>Ann</td></tr></table></div>',
            "signature",
        ),
        (f"<p>{NOTICE}</p>", "legal notice"),
        (f"<hr><p>{NOTICE}</p><div>Please think of the environment.</div>", "legal notice"),
        (f"<p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal><i>{NOTICE}</i></p>", "legal notice"),
        ('<div id="m_1" dir="ltr">Sent from my iPhone</div>', "footer"),
    ],
)
def test_an_end_of_an_html_text_is_taken_off_and_told(end: str, what: str) -> None:
    text, removed = trim_html(f"<html><body>{OWN}{end}</body></html>", ALL, "Re: Plan")
    assert text.startswith(f"<html><body>{OWN.removesuffix('</p>')}")
    assert "\n".join(lines_of(text)).rstrip() == "\n".join(lines_of(OWN)).rstrip()
    assert [name.split(" of ")[0].split(" in ")[0] for name, _ in removed] == [what]


def lines_of(text: str) -> list[str]:
    return [line.text for line in lines(text)]


def test_several_ends_of_an_html_text_stand_behind_each_other() -> None:
    quoted = GMAIL_HTML.format("On Mon, 23 Nov 2026, Bob wrote:")
    end = f'<div class="moz-signature">-- <br>Ann</div>{quoted}<p>{NOTICE}</p><img width=1 src="https://example.com/t.gif">'
    text, removed = trim_html(OWN + end, ALL, "AW: Plan")
    assert (text, len(removed)) == (OWN.removesuffix("</p>"), 3)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (OWN + OUTLOOK_WEB.format(ENGLISH), "FW: Plan"),
        (OWN + OUTLOOK_DESKTOP.format(ENGLISH), "Plan"),
        (OUTLOOK_WEB.format(ENGLISH), "Re: Plan"),  # nothing of his own
        (f"<p><img src='cid:1'></p><hr>{OUTLOOK_WEB.format(ENGLISH)}", "Re: Plan"),
        (f"<p>Please see below.</p>{OUTLOOK_WEB.format(ENGLISH)}", "Re: Plan"),
        (OWN + GMAIL_HTML.format("On Mon, 23 Nov 2026, Bob wrote:") + "<p>And bring it on Friday.</p>", "Re: Plan"),
        (OWN + GMAIL_HTML.format("On Mon, 23 Nov 2026, Bob wrote:") + "<p><img src=cid:scan></p>", "Re: Plan"),
        (
            f'{OWN}<div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ---------<br></div>Where?</div>',
            "Re: Plan",
        ),
        (f"{OWN}<blockquote>a paragraph that is set in</blockquote>", "Re: Plan"),
        (
            f"{OWN}<hr>From: Hamburg<br>To: Bremen<br>Date: 03.05.2026<br>Subject: Cargo<p>the truck at 8</p>",
            "Re: Plan",
        ),
        (f"{OWN}<div style='border-top: none'>From: the left<br>To: the right<br>Date: Monday</div>", "Re: Plan"),
        (f"{OWN}<div>--<br>A dashed line begins a table</div>", "x"),
        ("<pre>-- \nAnn Example</pre>", "x"),
        (f"<style>-- </style><title>x</title><p>{NOTICE}</p>", "x"),
        ("", "Re: x"),
        ("<p>", "Re: x"),
    ],
)
def test_what_is_not_sure_of_an_html_text_stays(text: str, subject: str) -> None:
    assert trim_html(text, ALL, subject) == (text, [])


def test_the_lines_of_an_html_text_are_those_its_reader_sees() -> None:
    text = (
        "<head><title>no</title><style>no</style></head><body><!-- no --><h1>One &amp; all</h1>two\n  words<br><br><table><tr><td>a"
        "</td><td>b&nbsp;</td></tr></table><p class=MsoNormal>x</p><p class='MsoNormal'>y</p><div>z</div><pre>1\n\n  2</pre>"
        "<blockquote>q<br>r</blockquote><p><img src='cid:1'><img src='http://example.com/1'></p><hr>"
    )
    assert lines_of(text) == [
        "One & all", "", "two words", "", "a b ", "x", "y", "z", "", "1", "", "  2", "", "> q", "> r", "", "\ufffc", "", "_" * 20,
    ]  # fmt: skip


@given(st.text(alphabet="<>/=\"' \n&;#93pbr-divhra\xa0", max_size=200))
def test_a_line_begins_where_the_text_before_it_has_ended(text: str) -> None:
    found = lines(text)
    starts = [line.start for line in found]
    assert starts == sorted(starts)
    for at, line in enumerate(found):
        assert [each.text for each in lines(text[: line.start]) if each.text.strip()] == [
            each.text for each in found[:at] if each.text.strip()
        ]


# --- in a mail --------------------------------------------------------------------------------------------------------


def test_the_fax_is_without_it_and_the_ledger_names_it(tmp_path: Path) -> None:
    source = tmp_path / "mail"
    source.write_bytes(b"Subject: Re: Plan\r\n\r\nHere it is.\r\n\r\nOn 23.11.26 10:15 Bob wrote:\r\n> Where?\r\n")
    found = extract(str(source), str(tmp_path), trim=["quoted"])
    assert Path(found["parts"][0]["path"]).read_bytes() == b"Here it is."
    assert found["left_out"] == [
        {"part": "quoted mail in the message text", "type": "text/plain", "reason": "it repeats an earlier mail"}
    ]
    source.write_bytes(
        b"Subject: Re: Plan\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<meta charset=iso-8859-1><p>H\xe4re.</p><div>On"
        b" 23.11.26 10:15 Bob wrote:</div><blockquote type=cite>Where?</blockquote>\r\n"
    )
    (tmp_path / "html").mkdir()
    found = extract(str(source), str(tmp_path / "html"), trim=["quoted"])
    assert Path(found["parts"][0]["path"]).read_text(encoding="utf-8") == "<meta charset=iso-8859-1><p>Häre.</p>"
    assert found["parts"][0]["charset"] == "utf-8"
    assert [entry["type"] for entry in found["left_out"]] == ["text/html"]
    (tmp_path / "whole").mkdir()
    assert b"Where?" in Path(extract(str(source), str(tmp_path / "whole"))["parts"][0]["path"]).read_bytes()


@pytest.mark.parametrize("alternative", [False, True])
def test_pictures_go_with_the_mail_that_is_quoted(tmp_path: Path, alternative: bool) -> None:
    answer = (
        b'--r\r\nContent-Type: text/html\r\n\r\n<p>Here <img src="cid:new"></p><div>On 23.11.26 10:15 Bob wrote:</div>'
        b'<blockquote type=cite>Where? <img src="cid:old"><img src="cid:both"></blockquote>\r\n'
    ).replace(b"Here", b'Here <img src="cid:both">')
    plain = b"--r\r\nContent-Type: text/plain\r\n\r\nHere\r\n\r\nOn 23.11.26 10:15 Bob wrote:\r\n> Where?\r\n"
    if alternative:
        inner = plain + answer + b"--r--\r\n"
        answer = b"--r\r\nContent-Type: multipart/alternative; boundary=r2\r\n\r\n" + inner.replace(b"--r", b"--r2")
    pictures = b"".join(
        b"--r\r\nContent-Type: image/png; name=%s.png\r\nContent-ID: <%s>\r\n\r\nx\r\n" % (name, name)
        for name in (b"new", b"old", b"both")
    )
    source = tmp_path / "mail"
    head = b"Subject: Re: Plan\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=r\r\n\r\n"
    source.write_bytes(head + answer + pictures + b"--r--\r\n")
    found = extract(str(source), str(tmp_path), trim=["quoted"])
    assert [part["name"] for part in found["parts"]] == ["message text", "new.png", "both.png"]
    left_out = [(entry["part"], entry["reason"]) for entry in found["left_out"]]
    assert ("old.png", "it is shown only in a piece of the message text that is left out") in left_out


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-- \r\nAnn\r\n", "signatures are not faxed here"),
        (
            f"\r\n-- \r\nAnn\r\n\r\n{NOTICE}\r\n",
            "signatures are not faxed here; legal notices of mails are not faxed here",
        ),
        (
            f"<br><div>-- <br>Ann</div><p>{NOTICE}</p>",
            "signatures are not faxed here; legal notices of mails are not faxed here",
        ),
        ("Hi\r\n-- \r\nAnn\r\n", ""),
        (f"-- \r\nAnn\r\n\r\n{GMAIL}", ""),
        ('<img src="cid:drawing"><p>Sent from my iPhone</p>', ""),
    ],
)
def test_a_text_of_nothing_but_ends_is_no_page_beside_a_document(tmp_path: Path, text: str, why: str) -> None:
    source = tmp_path / "mail"
    kind = "html" if "<p>" in text else "plain"
    body = f"Content-Type: text/{kind}\r\n\r\n{text}"
    pdf = "Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4 x\r\n"
    head = "Subject: Re: Plan\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    source.write_text(f"{head}--b\r\n{body}\r\n--b\r\n{pdf}\r\n--b--\r\n", newline="")
    found = extract(str(source), str(tmp_path), trim=list(ALL))
    assert [part["name"] for part in found["parts"]] == ["message text"] * (not why) + ["a.pdf"]
    assert [entry["reason"] for entry in found["left_out"] if entry["part"] == "message text"] == [why] * bool(why)
    source.write_text(f"Subject: Plan\r\n{body}", newline="")
    (tmp_path / "alone").mkdir()
    assert extract(str(source), str(tmp_path / "alone"), trim=list(ALL))["parts"]


@pytest.mark.parametrize("text", ["Look.", ""])
@pytest.mark.parametrize("advert", ["Sent from my iPhone", ""])
def test_an_advert_behind_a_photo_is_no_page_of_its_own(tmp_path: Path, text: str, advert: str) -> None:
    source = tmp_path / "mail"
    source.write_text(
        "Subject: Photo\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
        "--b\r\nContent-Type: image/jpeg; name=a.jpg\r\nContent-Disposition: inline; filename=a.jpg\r\n\r\nx\r\n"
        f"--b\r\nContent-Type: text/plain\r\n\r\n\r\n\r\n{advert or 'Regards'}\r\n--b--\r\n"
    )
    found = extract(str(source), str(tmp_path), trim=list(ALL))
    expected = ["message text"] * bool(text) + ["a.jpg"] + ["message text"] * (not advert)
    assert [part["name"] for part in found["parts"]] == expected
    reasons = [entry["reason"] for entry in found["left_out"]]
    assert reasons == (["it is an advert of the mail program"] if advert else [])


def test_a_mail_without_a_text_may_have_a_page_that_says_whose_it_is(tmp_path: Path) -> None:
    source = tmp_path / "mail"
    pdf = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4 x\r\n"
    source.write_bytes(b"From: ann@example.com\r\nSubject: Plan\r\n" + pdf)
    first, second = extract(str(source), str(tmp_path), head=True)["parts"]
    assert (first["role"], second["name"]) == ("body-text", "a.pdf")
    assert Path(first["path"]).read_text() == "From: ann@example.com\nSubject: Plan"
    source.write_bytes(b"Subject: Plan\r\n\r\nHere it is.\r\n")
    (tmp_path / "whole").mkdir()
    (only,) = extract(str(source), str(tmp_path / "whole"), head=True)["parts"]
    assert Path(only["path"]).read_bytes() == b"Here it is.\r\n"
