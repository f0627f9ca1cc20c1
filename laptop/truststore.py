"""A PEM file of certificates as a trust store for Java. Runs in the workspace environment, which has cryptography.

    python -m laptop.truststore certificates.pem truststore.p12

A Java from a Python package trusts only the authorities that it was built with; a company's own, which the
machine (and pip) trusts, would stop it from fetching Spark's jars.
"""

from __future__ import annotations

import sys
from pathlib import Path

PASSWORD = "changeit"  # noqa: S105 - Java wants one; the file holds public certificates only


def convert(pem: bytes) -> bytes:
    """Convert the certificates of a PEM file to a PKCS#12 trust store."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

    certificates = x509.load_pem_x509_certificates(pem)
    named = [PKCS12Certificate(item, f"authority-{number}".encode()) for number, item in enumerate(certificates)]
    return serialize_java_truststore(named, BestAvailableEncryption(PASSWORD.encode()))


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(convert(Path(sys.argv[1]).read_bytes()))
