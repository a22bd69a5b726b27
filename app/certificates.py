"""A certificate authority for a small site: one for the broker's TLS, where there is no other.

Makes the broker's own certificate and, where gateways must show one, theirs: the common name is the gateway's code.
Keys are of the curve P-256, which every TLS 1.2 library speaks. A revoked certificate goes on the list the broker reads
at its start. What was made is remembered in `issued.json`, for serial numbers alone say nothing to a person.

Source: RFC 5280 (certificates and lists), RFC 6125 6.4 (names of a server stand in its alternative names).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hanlu.app.embedded.logins import write_private
from hanlu.core.errors import ConflictError, NotFoundError, UsageError

__all__ = ["Authority", "Made"]

AUTHORITY_DAYS: Final = 3650
"""How long the authority itself lasts, days."""

_EARLIER: Final = timedelta(hours=1)  # clocks of small computers are behind


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key as files; the key is None where it was made elsewhere."""

    certificate: Path
    key: Path | None
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority kept in one folder.

    Attributes:
        folder: closed to others; holds `ca.pem`, `ca.key`, `crl.pem`, `issued.json` and what was made.
        now: aware datetime; certificates count from an hour before.
    """

    folder: Path
    now: datetime

    @property
    def certificate(self) -> Path:
        """The authority's certificate: what everybody trusts."""
        return self.folder / "ca.pem"

    @property
    def revoked(self) -> Path:
        """The list of revoked certificates."""
        return self.folder / "crl.pem"

    def ensure(self) -> bool:
        """Make the authority where there is none; return whether that was done."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.certificate.exists():
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hanlu broker CA {self.now:%Y-%m-%d}")])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            self._builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self.folder / "ca.key", _pem_of(key))
        write_private(self.folder / "issued.json", "[]")
        write_private(self.certificate, made.public_bytes(Encoding.PEM).decode())
        self._write_list()
        return True

    def server(self, hosts: Sequence[str], days: int) -> Made:
        """Make the broker's certificate for the names and addresses gateways know it by."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        key = ec.generate_private_key(ec.SECP256R1())
        extra = x509.SubjectAlternativeName(names)
        return self._issue("server", hosts[0], key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, days, extra, key)

    def client(self, code: str, days: int, request: Path | None = None) -> Made:
        """Make a gateway's certificate.

        Args:
            code: of the gateway; becomes the common name.
            days: it is good for.
            request: PEM certificate signing request of a key made at the gateway; None makes a key here.

        Raises:
            UsageError: the request cannot be read, or is not signed by its own key.
        """
        if request is None:
            key = ec.generate_private_key(ec.SECP256R1())
            return self._issue(code, code, key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, days, None, key)
        try:
            asked = x509.load_pem_x509_csr(request.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{request} cannot be read as a certificate signing request: {error}") from error
        if not asked.is_signature_valid:
            raise UsageError(f"{request} is not signed by its own key")
        return self._issue(code, code, asked.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, days, None, None)

    def revoke(self, code: str) -> int:
        """Put all certificates of a gateway on the list of revoked ones; return how many were new on it.

        Raises:
            NotFoundError: none was ever made for it.
        """
        issued = self._issued()
        of_code = [each for each in issued if each["name"] == code]
        if not of_code:
            raise NotFoundError(f"no certificate was made for {code}")
        fresh = [each for each in of_code if each["revoked_at"] is None]
        for each in fresh:
            each["revoked_at"] = self.now.isoformat()
        write_private(self.folder / "issued.json", json.dumps(issued, indent=1))
        self._write_list()
        return len(fresh)

    def _issue(
        self,
        file: str,
        name: str,
        public_key: CertificatePublicKeyTypes,
        purpose: x509.ObjectIdentifier,
        days: int,
        extra: x509.SubjectAlternativeName | None,
        key: ec.EllipticCurvePrivateKey | None,
    ) -> Made:
        self.ensure()
        authority, authority_key = self._authority()
        end = self.now + timedelta(days=days)
        if end > authority.not_valid_after_utc:
            raise ConflictError(f"the authority ends {authority.not_valid_after_utc:%Y-%m-%d}: ask for fewer --days")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = (
            self._builder(subject, authority.subject, public_key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if extra is not None:
            builder = builder.add_extension(extra, critical=False)
        made = builder.sign(authority_key, hashes.SHA256())
        note = {"name": name, "serial": f"{made.serial_number:x}", "not_after": end.isoformat(), "revoked_at": None}
        write_private(self.folder / "issued.json", json.dumps([*self._issued(), note], indent=1))
        key_file = self.folder / f"{file}.key" if key else None
        if key and key_file:
            write_private(key_file, _pem_of(key))
        certificate = self.folder / f"{file}.pem"
        write_private(certificate, made.public_bytes(Encoding.PEM).decode())
        return Made(certificate, key_file, end)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public_key: CertificatePublicKeyTypes, days: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - _EARLIER)
            .not_valid_after(self.now + timedelta(days=days))
        )

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            key = load_pem_private_key((self.folder / "ca.key").read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{self.folder} holds no usable authority: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UsageError(f"{self.folder / 'ca.key'} is not of an elliptic curve")
        return certificate, key

    def _issued(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / "issued.json").read_text(encoding="utf-8"))
        return found

    def _write_list(self) -> None:
        """Write the list of revoked certificates; it counts as long as the authority, for a broker refuses an old
        one."""
        certificate, key = self._authority()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(certificate.subject)
            .last_update(self.now - _EARLIER)
            .next_update(certificate.not_valid_after_utc)
        )
        for each in self._issued():
            if each["revoked_at"] is not None:
                revoked = (
                    x509.RevokedCertificateBuilder()
                    .serial_number(int(each["serial"], 16))
                    .revocation_date(datetime.fromisoformat(each["revoked_at"]).astimezone(UTC))
                    .build()
                )
                builder = builder.add_revoked_certificate(revoked)
        write_private(self.revoked, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode())


def _pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
