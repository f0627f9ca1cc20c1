"""E-mail addresses are stored as an HMAC under a secret of the workspace, never in clear."""

from __future__ import annotations

import hashlib

from pyspark.sql import Column
from pyspark.sql import functions as F

_BLOCK = 64  # SHA-256's block in bytes


def key_blocks(key: bytes) -> tuple[bytes, bytes]:
    """Return the inner and outer block of HMAC-SHA256 (RFC 2104) for a key.

    They stand for the key in Spark. They belong into a DataFrame's data: literals would show in plans, on the Spark
    UI and in error messages.
    """
    if not key:
        raise ValueError("the key of the e-mail HMAC is empty")
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def email_hmac(address: Column, inner: Column, outer: Column) -> Column:
    """Return hex HMAC-SHA256 of the trimmed, lower-cased address in UTF-8; NULL for NULL."""
    message = F.encode(F.lower(F.trim(address)), "UTF-8")
    return F.sha2(F.concat(outer, F.unhex(F.sha2(F.concat(inner, message), 256))), 256)
