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
    mail["Subject"] = letter.subject.replace("\n", " ")[:200]
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
    said = _Progress()
    watchdog: threading.Timer | None = None
    server: smtplib.SMTP | None = None
    try:
        context = ssl.create_default_context(cafile=config.smtp_ca_file)
        if config.smtp_security == "tls":
            server = smtplib.SMTP_SSL(config.smtp_host, config.smtp_port, timeout=config.connect_s, context=context)
        else:
            server = smtplib.SMTP(config.smtp_host, config.smtp_port, timeout=config.connect_s)
        watchdog = threading.Timer(config.deadline_s, _shut, (server,))
        watchdog.daemon = True
        watchdog.start()
        if server.sock is not None:
            server.sock.settimeout(config.deadline_s)
        if config.smtp_security == "starttls":
            server.starttls(context=context)
        if config.smtp_user is not None:
            password = config.smtp_password.get_secret_value() if config.smtp_password else ""
            server.login(config.smtp_user, password)
        said.handed = True
        refused = server.send_message(mail, config.smtp_from, list(to))
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        again = all(400 <= code < 500 for code in codes)
        return Outcome("retry" if again else "permanent", f"SMTP {codes[0]}: no address was taken")
    except smtplib.SMTPResponseException as error:
        words = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return Outcome(
            "retry" if 400 <= error.smtp_code < 500 else "permanent", f"SMTP {error.smtp_code} {words[:200]}"
        )
    except smtplib.SMTPNotSupportedError as error:
        return Outcome("permanent", f"SMTP: {error}")
    except ssl.SSLCertVerificationError as error:
        return Outcome("permanent", f"the mail server's certificate is not trusted: {error.verify_message}")
    except (smtplib.SMTPException, OSError) as error:
        if said.handed:
            return Outcome("lost", f"the mail server did not answer ({type(error).__name__})")
        return Outcome("retry", f"no connection to the mail server ({type(error).__name__})")
    finally:
        if watchdog is not None:
            watchdog.cancel()
        if server is not None:
            _leave(server)
    return Outcome("sent", f"{len(to) - len(refused)} of {len(to)} addresses taken")


class _Progress:
    """How far a mail got: once handed over, silence does not mean that it was not taken."""

    handed = False


def _leave(server: smtplib.SMTP) -> None:
    """Close without waiting for a farewell that may never come."""
    with suppress(OSError, smtplib.SMTPException):
        server.close()


def _shut(server: smtplib.SMTP) -> None:
    with suppress(OSError):
        if server.sock is not None:
            socket.socket.shutdown(server.sock, socket.SHUT_RDWR)
