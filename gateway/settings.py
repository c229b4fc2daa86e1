"""From the configuration to the plain values that rooms take: options in, settings out. Part of the composition root."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway import __version__
from gateway.config import Config
from gateway.config.options_document import Document
from gateway.document import cover_choice, engine, libreoffice
from gateway.document.cover_choice import CoverChoice
from gateway.edge.callbacks import CallbackSettings
from gateway.edge.smtp_settings import ListenerSettings, SmtpSettings
from gateway.errors import ConfigError
from gateway.limits import AnomalySettings, CapSettings, Scope
from gateway.mail.compose import Letterhead
from gateway.mail.transport import RelaySettings
from gateway.policy import PolicySettings
from gateway.provider.faxto import FaxToSettings
from gateway.service.accept import AcceptSettings
from gateway.service.allowance import AllowanceSettings
from gateway.service.divided import DividedSettings
from gateway.service.inbound import InboundSettings
from gateway.service.logins import LoginSettings
from gateway.service.notices import NoticeSettings
from gateway.service.outbound import OutboundSettings
from gateway.service.postman import PostmanSettings
from gateway.service.prepare import PrepareSettings
from gateway.service.settle import SettleSettings
from gateway.service.sweep import SweepSettings


def provider(config: Config) -> FaxToSettings:
    p = config.provider
    return FaxToSettings(
        base_url=p.base_url,
        api_key=p.api_key.value,
        timeout=p.timeout,
        upload_timeout=p.upload_timeout,
        rate=p.rate,
        naive_timezone=p.timezone,
        max_document=config.http.callbacks.max_file,
    )


def letterhead(config: Config) -> Letterhead:
    return Letterhead(
        sender=config.mail.sender, hostname=config.host, domain=config.domains[0], version=__version__,
        clock=lambda at: datetime.fromtimestamp(at).astimezone(),
    )  # fmt: skip


def notices(config: Config) -> NoticeSettings:
    return NoticeSettings(
        hostname=config.host,
        bounce=config.bounce_address,
        fallback=config.mail.fallback,
        notify_accepted=config.mail.notify_accepted,
        notify_success=config.mail.notify_success,
        sandbox=config.provider_is_local,
    )


def relay(config: Config) -> RelaySettings:
    relay = config.mail.relay
    return RelaySettings(
        host=relay.host,
        port=relay.port,
        tls=relay.tls,
        user=relay.user,
        password=relay.password.value if relay.password else None,
        timeout=relay.timeout,
        local_hostname=config.host,
    )


def postman(config: Config) -> PostmanSettings:
    m = config.mail
    return PostmanSettings(
        concurrency=m.concurrency,
        retry_after=m.retry_after,
        retry_max=m.retry_max,
        expire_after=m.expire_after,
        delay_after=config.provider.delay_notice_after,
        pictures=m.pictures,
    )


def document(d: Document) -> dict[str, Any]:
    """Options of document.render. Raises ConfigError for a cover page that cannot be used."""
    names = ("paper", "resolution", "body", "header", "header_text", "blank_pages", "max_pages")
    return {**{name: getattr(d, name) for name in names}, "covers": _covers(d)}


def html(d: Document) -> bool:
    """Whether HTML is drawn. Raises ConfigError where it is to be and cannot."""
    if d.html == engine.ENGINE and (lack := engine.missing()):
        raise ConfigError(f"document.html is engine, and HTML cannot be drawn here: {lack}; or set document.html: auto")
    return engine.find(d.html)


def check_document(d: Document) -> None:
    """Raises ConfigError with all that is wrong with what the options name."""
    problems: list[str] = []
    for look in (cover, html):
        try:
            look(d)
        except ConfigError as error:
            problems += error.problems
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"the document options have {count}", tuple(problems))


def office_warnings(d: Document) -> list[str]:
    """That the LibreOffice which is named is not there: the gateway starts all the same, as one that is updated may move."""
    if d.office in (libreoffice.AUTO, libreoffice.NONE) or libreoffice.find(d.office):
        return []
    return [
        f"document.office: there is no LibreOffice in {d.office}, so office documents are refused; set auto, or none"
    ]


def cover(d: Document) -> CoverChoice:
    """Which cover pages there are. Raises ConfigError where the one to use is not among them."""
    names = tuple(sorted({*cover_choice.shipped(), *_covers(d)}))
    if d.cover_template not in names:
        raise ConfigError(
            f"document.cover_template: there is no cover page {d.cover_template}; there are {', '.join(names)}"
        )
    return CoverChoice(d.cover, d.cover_template, names)


def cover_facts(d: Document) -> dict[str, str]:
    """What the configuration says of the sender."""
    f = d.cover_from
    return {
        "language": f.language, "from_company": f.company, "from_department": f.department, "from_voice": f.voice,
        "from_fax": f.fax, "confidentiality": f.confidentiality,
    }  # fmt: skip


def _covers(d: Document) -> dict[str, str]:
    """The administrator's templates by their names. Raises ConfigError."""
    if d.cover_templates is None:
        return {}
    from gateway.document.cover import CoverError, own  # draws them: needed only where there are some

    try:
        return own(d.cover_templates)
    except CoverError as error:
        problems = tuple(f"document.cover_templates: {problem}" for problem in error.problems)
        count = f"{len(problems)} cover pages cannot be used"
        raise ConfigError(problems[0] if len(problems) == 1 else count, problems) from error


def outbound(config: Config) -> OutboundSettings:
    p, d = config.provider, config.document
    redial = p.redial
    return OutboundSettings(
        workers=d.workers,
        concurrency=p.concurrency,
        retry_after=p.retry_after,
        retry_max=p.retry_max,
        delay_after=p.delay_notice_after,
        prepare=PrepareSettings(
            tries=d.tries,
            large=max(1, d.workers // 2),
            timeout=d.timeout,
            retry_after=p.retry_after,
            retry_max=p.retry_max,
            document=document(d),
            office=libreoffice.find(d.office),
            html=html(d),
            trim=d.trim,
            cover=cover(d),
            cover_facts=cover_facts(d),
        ),
        settle=SettleSettings(
            poll_after=tuple(p.poll_after),
            confirm_after=tuple(p.confirm_after),
            confirm_receipts=p.confirm_receipts,
            confirm_timeout=p.confirm_timeout,
            result_timeout=p.result_timeout,
            doubt_poll_after=tuple(p.doubt.poll_after),
            doubt_min_polls=p.doubt.min_polls,
            doubt_min_time=p.doubt.min_time,
            doubt_give_up_after=p.doubt.give_up_after,
            doubt_resends=p.doubt.resend,
            redial={code: getattr(redial, code) for code in ("busy", "no_answer", "hangup", "unknown")},
            redial_after=redial.after,
            alone=p.sole_user,
            expire_after=p.expire_after,
        ),
        allowance=allowance(config),
    )


def allowance(config: Config) -> AllowanceSettings:
    p = config.policy
    return AllowanceSettings(
        caps=CapSettings({scope: getattr(p.caps, scope) for scope in Scope}, p.price_unknown),
        anomaly=AnomalySettings(
            watch=p.anomaly.watch, faxes=p.anomaly.faxes, factor=p.anomaly.factor, new_numbers=p.anomaly.new_numbers
        ),
        policy=policy(config),
    )


def inbound(config: Config) -> InboundSettings:
    p = config.provider
    return InboundSettings(
        retry_after=p.retry_after,
        retry_max=p.retry_max,
        delay_after=p.delay_notice_after,
        give_up_after=p.inbox.give_up_after,
        sweep=SweepSettings(
            every=p.inbox.sweep_every,
            grace=p.inbox.grace,
            window=p.inbox.window,
            baseline=p.inbox.first_run == "baseline",
            pause=p.retry_after,
        ),
    )


def accept(config: Config) -> AcceptSettings:
    return AcceptSettings(
        domains=tuple(config.domains),
        region=config.default_region,
        max_message=config.smtp.max_message,
        max_delay=config.smtp.max_delay,
        small_mail=config.smtp.small_mail,
        repeat_window=config.smtp.repeat_window,
        cover=cover(config.document),
        hostname=config.host,
        office=bool(libreoffice.find(config.document.office)),
        max_hops=config.smtp.max_hops,
        authserv_id=config.smtp.front.authserv_id or "",
        authserv_networks=tuple(config.smtp.front.networks),
        logins=LoginSettings(
            per_address=config.smtp.max_login_failures,
            per_user=config.smtp.max_login_failures_per_user,
            window=config.smtp.login_window,
        ),
        policy=policy(config),
    )


def policy(config: Config) -> PolicySettings:
    return PolicySettings(
        countries=frozenset(config.policy.countries),
        numbers=tuple(config.policy.numbers),
        classes=frozenset(config.policy.classes),
        test_numbers_allowed=config.test_numbers_allowed,
        senders=config.policy.senders,
    )


def divided(config: Config) -> DividedSettings:
    return DividedSettings(timeout=config.smtp.partial_timeout, max_message=config.smtp.max_message)


def smtp(config: Config) -> SmtpSettings:
    s = config.smtp
    return SmtpSettings(
        hostname=config.host,
        max_message=s.max_message,
        max_recipients=s.max_recipients,
        command_timeout=s.command_timeout,
        data_timeout=s.data_timeout,
        max_connections=s.max_connections,
        max_connections_per_client=s.max_connections_per_client,
        max_errors=s.max_errors,
        max_commands=s.max_commands,
        min_data_rate=s.min_data_rate,
    )


def listener(index: int, listener: Any) -> ListenerSettings:
    return ListenerSettings(
        name=f"smtp{index}",
        address=listener.address,
        networks=tuple(listener.networks),
        tls=listener.tls,
        auth=listener.auth,
        certificate=listener.certificate,
        key=listener.key,
        client_ca=listener.client_ca,
        profile=listener.profile,
        bare_newline=listener.bare_newline,
        clear_auth=listener.clear_auth,
        auth_after_helo=listener.auth_after_helo,
        proxies=tuple(listener.proxies),
    )


def callbacks(config: Config) -> CallbackSettings:
    c = config.http.callbacks
    return CallbackSettings(
        address=c.address,
        tokens=tuple(token.value for token in (c.token, c.old_token) if token),
        max_file=c.max_file,
        metrics_networks=tuple(config.http.metrics_networks),
        body_timeout=c.body_timeout,
        idle_timeout=c.idle_timeout,
        max_connections=c.max_connections,
    )
