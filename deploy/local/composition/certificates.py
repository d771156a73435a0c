"""The certificate under which the provider peers answer on loopback, kept between runs and renewed in time."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from services.simulators.certificates import (
    SERVER_NAMES,
    ServerCertificate,
    certificate_files,
    issue_server_certificate,
)

if TYPE_CHECKING:
    from pathlib import Path

_RENEW_BEFORE = datetime.timedelta(days=7)


def peer_certificate(folder: Path, *, now: datetime.datetime) -> ServerCertificate:
    """Give the peers' certificate, issuing it with a new authority where there is none or it ends soon."""
    files = certificate_files(folder)
    return files if _is_current(files, now) else issue_server_certificate(folder, now=now)


def _is_current(files: ServerCertificate, now: datetime.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.cert_file.read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca_file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        files.key_file.is_file()
        and set(names.get_values_for_type(x509.DNSName)) == set(SERVER_NAMES)
        and certificate.not_valid_after_utc > now + _RENEW_BEFORE
    )
