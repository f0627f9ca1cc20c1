"""What a file that is no CSV file seems to be, for the messages that refuse it; the standard library is enough."""

from __future__ import annotations

_ADVICE = {
    b"\x1f\x8b": "looks like gzip: unpack it before it is delivered",
    b"\xfd7zXZ\0": "looks like xz: unpack it before it is delivered",
    b"PK\x03\x04": "looks like zip: unpack it before it is delivered",
    b"BZh": "looks like bzip2: unpack it before it is delivered",
    b"\x28\xb5\x2f\xfd": "looks like zstd: unpack it before it is delivered",
    b"PAR1": "looks like Parquet: deliver it as CSV",
    b"\xff\xfe": "looks like UTF-16: deliver it in the encoding that is set for the source",
    b"\xfe\xff": "looks like UTF-16: deliver it in the encoding that is set for the source",
}


def advice(start: bytes) -> str:
    """Return " (it looks like ...: what to do)" for the first bytes of a file; "" where they are of no known kind."""
    return next((f" (it {text})" for signature, text in _ADVICE.items() if start.startswith(signature)), "")
