"""The copiers' guide: its configuration is one, and the dialogues of the makes it names end in a fax."""

from __future__ import annotations

import base64
import re
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path

import argon2
import pytest
import yaml
from smtp_harness import LOCAL, Client, Doors, House, issue, talking

from gateway import settings
from gateway.config.options_smtp import Listener
from gateway.edge.smtp_settings import ListenerSettings
from gateway.store import users

GUIDE = (Path(__file__).parents[2] / "docs" / "copiers.md").read_text()
PDF = base64.encodebytes(b"%PDF-1.4\n" + b"0" * 3000).decode().replace("\n", "\r\n")
NUMBER = "+12025550123"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Device:
    """What a make says: its greeting, how it logs in ("" for not at all), where to, and the type it gives a PDF."""

    greeting: str = "EHLO device"
    login: str = ""
    tls: str = "none"  # none, starttls, old
    address: str = f"{NUMBER}@fax.local"
    type: str = "application/pdf"
    fields: str = "From: scanner@example.org"


DEVICES = {
    "Ricoh": Device("EHLO RNP002673", "LOGIN", "starttls", "fax=2025550123@fax.local", fields="From: ann@example.org"),
    "Canon": Device("EHLO canon.example.org", "PLAIN", "starttls", "12025550123@fax.local"),
    "Xerox": Device("EHLO XC-B8C463", "login", "starttls"),
    "Fuji Xerox": Device("EHLO dc4", address=f"FAX={NUMBER}@fax.local", type="image/tiff"),
    "HP": Device("HELO [192.168.1.21]"),
    "HP of old": Device("EHLO NPIF65E56", tls="old"),
    "Konica Minolta": Device(
        "EHLO KMBT", "PLAIN", "starttls", "FAX=12025550123@fax.local",
        fields="From: km@example.org\r\nDisposition-Notification-To: km@example.org",
    ),
    "Kyocera": Device("HELO KM01"),
    "Toshiba": Device("HELO toshiba-mfp", address="12025550123@fax.local"),
    "Sharp": Device("EHLO sharp.example.org", "LOGIN", "starttls"),
    "Brother": Device("EHLO BRN001BA9", "PLAIN", "starttls", type="image/tiff", fields="From: brother@example.org"),
    "Lexmark": Device("EHLO lexmark", "LOGIN", "starttls", type="document/pdf"),
    "Epson": Device("EHLO EPSON0A1B2C", "LOGIN", "starttls", type=".pdf"),
}  # fmt: skip


def test_every_make_of_the_guide_has_its_dialogue() -> None:
    makes = re.search(r"\| Make \|.*?\n\|---.*?\n(.*?)\n\n", GUIDE, re.DOTALL)
    assert makes
    named = {make.strip() for row in makes[1].splitlines() for make in row.split("|")[1].split(",")}
    assert named == {make.removesuffix(" of old") for make in DEVICES}


def _guided() -> list[ListenerSettings]:
    """The listeners of the guide, as the daemon would be told of them; only names of files and addresses are put in."""
    found = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    listeners = yaml.safe_load(found[1])["smtp"]["listeners"]
    known = set(Listener.model_fields)
    assert all(set(each) <= known for each in listeners)
    full = [{name: Listener.model_fields[name].default for name in known} | each for each in listeners]
    return [settings.listener(n, _Options(each)) for n, each in enumerate(full)]


class _Options:
    def __init__(self, values: dict[str, object]) -> None:
        self.__dict__.update(values)


@pytest.fixture
async def ways(doors: Doors, house: House, tmp_path: Path) -> dict[str, str]:
    """Where each listener of the guide is: the device's network is this machine, or none at all with a login."""
    files = issue(tmp_path)
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("secret")
    await house.database.write(lambda tx: users.put(tx, "copier", hashed, 0.0))
    made = []
    for each in _guided():
        tls = files if each.tls != "none" else {}
        values = {
            name: getattr(each, name) for name in ("name", "tls", "auth", "profile", "clear_auth", "auth_after_helo")
        }
        made.append(
            ListenerSettings(address="127.0.0.1:0", networks=LOCAL if each.networks else (), **{**values, **tls})
        )
    return dict(zip(("starttls", "none", "old"), await doors.open(house.accept, *made), strict=True))


def _careless(old: bool) -> ssl.SSLContext:
    """As devices do TLS: without a look at the certificate, old ones with what they have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if old:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


async def _login(client: Client, how: str) -> None:
    if how.upper() == "PLAIN":
        assert (await client.ask(f"AUTH {how} {b64(chr(0) + 'copier' + chr(0) + 'secret')}")).code == 235
    else:
        assert str(await client.ask(f"AUTH {how}")) == f"334 {b64('Username:')}"
        assert str(await client.ask(b64("copier"))) == f"334 {b64('Password:')}"
        assert (await client.ask(b64("secret"))).code == 235


@pytest.mark.parametrize("make", DEVICES)
async def test_the_dialogue_of_a_device_ends_in_a_fax(ways: dict[str, str], house: House, make: str) -> None:
    device = DEVICES[make]
    context = _careless(old=device.tls == "old") if device.tls == "old" else None
    async with talking(ways[device.tls], context, greeting=device.greeting) as client:
        if device.tls == "starttls":
            assert (await client.ask("MAIL FROM:<scanner@example.org>")).code == 530
            await client.starttls(_careless(old=False))
            assert (await client.ask(device.greeting)).code == 250
            assert (await client.ask("MAIL FROM:<scanner@example.org>")).code == 530  # no login, no fax, and it is told
            await _login(client, device.login)
        content = (
            f"{device.fields}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
            f'Content-Type: {device.type}; name="Scan 0001.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n{PDF}\r\n--b--'
        )
        reply = await client.mail(content.encode(), device.address, sender="scanner@example.org")
        assert reply.code == 250, reply
    (job,) = await house.jobs()
    assert job.number.e164 == NUMBER


async def test_hp_looks_whether_we_are_there_and_asks_for_a_recipient_before_it_scans(ways: dict[str, str]) -> None:
    async with talking(ways["none"], greeting="HELO medea") as client:
        assert (await client.ask("QUIT")).code == 221
    async with talking(ways["none"], greeting="HELO NPIF65E56") as client:
        assert await client.asks("MAIL FROM:<hp@example.org>", f"RCPT TO:<{NUMBER}@fax.local>", "RSET", "QUIT") == [
            250, 250, 250, 221,
        ]  # fmt: skip
