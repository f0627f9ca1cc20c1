"""E-mail addresses in columns that are not theirs, as distinct from parts of URLs, packages, prices and handles.

An address would be stored there in clear, so what may well be one is taken for one. No address is:

- an @ with nothing before it (`/@brand/`), and the name and password of a URL (`http://u:p@host.example/`),
- what ends like a file (`watch@2x.png`) or like a number (`pkg@1.2.3`, `3@4.5`),
- a name in mixed case that is no common domain (`Nike@Air.Max`),
- an account (`@jane@social.example`) or a repository (`git@host.example:a/b`).
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

_NAME = r'[^\s,;:<>()\[\]"\'@/\\?=&|*{}!]'
_FILE_ENDINGS = (
    "png|jpe?g|jpe|gif|webp|svg|bmp|tiff?|ico|avif|hei[cf]|psd|pdf|s?css|[mc]?jsx?|tsx?|json|map|xml|x?html?|php|aspx?"
    "|jsp|txt|csv|tsv|xlsx?|docx?|zip|t?gz|bz|xz|tar|rar|jar|mpe?g|mpe|mov|avi|webm|wav|ogg|woff2?|ttf|otf|eot|exe|dll"
    "|py|rb|md|ya?ml|whl|deb|rpm|apk"
)
_COMMON_ENDINGS = "com|net|org|edu|gov|mil|int|info|biz|name|pro|mobi|shop|store|online|site|app|dev|cloud|email"
# A label of a domain, then its ending; bounded, so that a gigantic field costs no stack.
_LABEL = r"[\p{L}\p{N}][\p{L}\p{N}_-]{0,62}+"
_NOT_A_FILE = rf"(?!(?i:{_FILE_ENDINGS})(?![\p{{L}}\p{{N}}_-]))"
# Two letters may be those of a country, in any case.
_ENDING = (
    r"(?:\p{Ll}{2,63}|\p{Lu}{2,63}|\p{Lo}{2,63}|\p{L}{2}|(?i:xn--[a-z0-9-]{2,59})"
    rf"|(?i:{_COMMON_ENDINGS}))"
)
_ADDRESS = (
    rf"""(?:(?<!{_NAME})(?<!(?<!{_NAME})@){_NAME}++|[\p{{L}}\p{{N}}]")@"""
    rf"(?:(?:{_LABEL}\.){{1,10}}{_NOT_A_FILE}{_ENDING}(?!-*\.?-*[\p{{L}}\p{{N}}_])(?!:[\w.~-]++/)|\[(?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}\])"
)
_USER_OF_A_URL = r"://[^\s/?#@]*+@"


def may_hold_one(text: Column) -> Column:
    """Return whether a line has an @, which few lines have outside of the column for it."""
    return F.contains(text, F.lit("@")) | F.contains(text, F.lit("%40"))


def any_holds_one(fields: Column, searched: Column) -> Column:
    """Return whether an e-mail address stands in one of the fields at the positions `searched`, from 0."""

    def reveals(field: Column, index: Column) -> Column:
        return F.array_contains(searched, index) & may_hold_one(field) & holds_one(field)

    return F.size(F.filter(fields, reveals)) > 0


def holds_one(field: Column) -> Column:
    """Return whether a text holds an e-mail address."""
    without_users = F.regexp_replace(F.replace(field, F.lit("%40"), F.lit("@")), _USER_OF_A_URL, "://")
    return without_users.rlike(_ADDRESS)
