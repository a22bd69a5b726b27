"""E-mail: one message, text and simple HTML, to the receiver's addresses through the platform's mail server.

Every attempt of a message has the same Message-ID, so that a repetition is recognised as one; messages about one matter
name the same first message in References, so that mail programs show them together.

Source: RFC 5321 4.2.1 (4yz again, 5yz never), RFC 5322 3.6.4 (identification fields), RFC 3834 5 (Auto-Submitted),
RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from hanlu.alerts.people.channels.contract import Letter, Outcome
from hanlu.alerts.people.config import NotifyConfig
from hanlu.core.clock import from_ms

__all__ = ["mail_of", "send_mail"]


def mail_of(sender: str, to: Sequence[str], letter: Letter) -> EmailMessage:
    """Return the mail.

    Args:
        sender: address; its domain is that of the identifiers too.
        to: addresses.
        letter: what it says.
    """
    domain = sender.rpartition("@")[2] or "localhost"
    mail = EmailMessage(policy=SMTP.clone(max_line_length=78))
    mail["From"] = Address("Hanlu 寒露", addr_spec=sender)
    mail["To"] = ", ".join(to)
    # Any character that ends a line somewhere would end the header field, or have the mail refused.
    mail["Subject"] = " ".join(letter.subject.split())[:200]
    mail["Date"] = format_datetime(from_ms(letter.now_ms))
    mail["Message-ID"] = f"<{letter.uuid}@{domain}>"
    mail["References"] = f"<{letter.thread}@{domain}>"
    mail["In-Reply-To"] = f"<{letter.thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if letter.urgent:
        mail["X-Priority"] = "1"
        mail["Importance"] = "high"
    mail.set_content(letter.text + "\n")
    mail.add_alternative(letter.html, subtype="html")
    return mail


def send_mail(config: NotifyConfig, to: Sequence[str], letter: Letter) -> Outcome:
    """Hand the mail to the platform's mail server and say what came of it."""
    if config.smtp_host is None:
        return Outcome("permanent", "notify.smtp_host is not set: there is no mail server")
    mail = mail_of(config.smtp_from, to, letter)
    attempt = _Attempt(config)
    try:
        server = attempt.open(config.smtp_host)
        attempt.handed = True
        refused = server.send_message(mail, config.smtp_from, list(to))
    except (smtplib.SMTPException, OSError) as error:
        return _outcome(error, handed=attempt.handed)
    finally:
        attempt.close()
    return Outcome("sent", f"{len(to) - len(refused)} of {len(to)} addresses taken")


class _Attempt:
    """One connection to the mail server, ended by a watchdog at its deadline."""

    def __init__(self, config: NotifyConfig) -> None:
        self._config = config
        self._server: smtplib.SMTP | None = None
        self._watchdog: threading.Timer | None = None
        self.handed = False
        """Whether the mail was on its way: from then on silence does not mean that it was not taken."""

    def open(self, host: str) -> smtplib.SMTP:
        """Connect, secure the line and sign in."""
        config = self._config
        context = ssl.create_default_context(cafile=config.smtp_ca_file)
        server: smtplib.SMTP
        if config.smtp_security == "tls":
            server = smtplib.SMTP_SSL(host, config.smtp_port, timeout=config.connect_s, context=context)
        else:
            server = smtplib.SMTP(host, config.smtp_port, timeout=config.connect_s)
        self._server = server
        self._watchdog = threading.Timer(config.deadline_s, _shut, (server,))
        self._watchdog.daemon = True
        self._watchdog.start()
        if server.sock is not None:
            server.sock.settimeout(config.deadline_s)
        if config.smtp_security == "starttls":
            server.starttls(context=context)
        if config.smtp_user is not None:
            server.login(config.smtp_user, config.smtp_password or "")
        return server

    def close(self) -> None:
        """Close without waiting for a farewell that may never come."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._server is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._server.close()


def _outcome(error: smtplib.SMTPException | OSError, *, handed: bool) -> Outcome:
    """Return what an error means: refused for now or for good, or no answer."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        again = all(400 <= code < 500 for code in codes)
        return Outcome("retry" if again else "permanent", f"SMTP {codes[0]}: no address was taken")
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code > 0:
        words = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        again = 400 <= error.smtp_code < 500
        return Outcome("retry" if again else "permanent", f"SMTP {error.smtp_code} {words[:200]}")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome("permanent", f"SMTP: {error}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outcome("permanent", f"the mail server's certificate is not trusted: {error.verify_message}")
    if handed:
        return Outcome("lost", f"the mail server did not answer ({type(error).__name__})")
    return Outcome("retry", f"no connection to the mail server ({type(error).__name__})")


def _shut(server: smtplib.SMTP) -> None:
    with suppress(OSError):
        if server.sock is not None:
            socket.socket.shutdown(server.sock, socket.SHUT_RDWR)
