"""What a file that is no CSV file seems to be, for the messages that refuse it; the standard library is enough."""

from __future__ import annotations

_ADVICE = {
    b"\x1f\x8b": "looks like gzip: unpack it before it is delivered",
    b"\xfd7zXZ\0": "looks like xz: unpack it before it is delivered",
    b"PK\x03\x04": "looks like zip, or an Excel workbook: unpack it before it is delivered, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "looks like an old Excel workbook: save it as CSV",
    b"BZh": "looks like bzip2: unpack it before it is delivered",
    b"\x28\xb5\x2f\xfd": "looks like zstd: unpack it before it is delivered",
    b"PAR1": "looks like Parquet: deliver it as CSV",
    b"\xff\xfe": "looks like UTF-16: deliver it in the encoding that is set for the source",
    b"\xfe\xff": "looks like UTF-16: deliver it in the encoding that is set for the source",
    b"<!doctype": "looks like a web page, such as a sign-in: get the file again",
    b"<html": "looks like a web page, such as a sign-in: get the file again",
    b"<?xml": "looks like XML: deliver it as CSV",
    b"{": "looks like JSON: deliver it as CSV",
    b"[": "looks like JSON: deliver it as CSV",
    b"version https://git-lfs": "is a pointer of Git LFS: get the file itself",
    b"sep=": "begins with Excel's line sep=: remove that line",
}
_SEPARATORS = {b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}
_MANY = 10  # of a header with 53 names


def advice(start: bytes) -> str:
    """Return " (it looks like ...: what to do)" for the first line of a file; "" where it is of no known kind."""
    text = _advice(start)
    return f" (it {text})" if text else ""


def _advice(start: bytes) -> str:
    for signature, text in _ADVICE.items():
        if start[: len(signature)].lower() == signature.lower():
            return text
    if b"\0" in start[:64]:
        return _ADVICE[b"\xff\xfe"]
    for separator, name in _SEPARATORS.items():
        if start.count(separator) >= max(_MANY, start.count(b",")):
            return f"is separated by {name}: deliver it separated by commas"
    if start.startswith(b'"') and start.count(b",") >= _MANY:
        return "holds one value in quotes: deliver it without quotes around whole lines"
    return ""
