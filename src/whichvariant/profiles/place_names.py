"""Country and city of a location in the language a request asks for (docs/profiles.md).

`locale` translates what is answered, never what is stored or what rules compare (SEMANTICS 5).
Countries are CLDR's names, by ``babel``; cities are the geo database's own names. Which name is
taken when several would do is [policy].

The locale comes from visitors. Nothing but plain language tags reaches the library, which would
look for a file of that name, and what it loads for them is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

__all__ = ["country_name", "translate_location"]

#: Characters of the longest tag that is looked at; RFC 5646, section 4.4.1, reckons with 35.
_LONGEST_TAG: Final = 35

#: Language, script, region, variant: the rest of a tag says nothing about names.
_MOST_SUBTAGS: Final = 4

#: A language tag as in RFC 5646, or with underscores as in POSIX. It is matched against at most
#: `_LONGEST_TAG` characters.
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")

#: About 40 KB each. There are a thousand locales, a third of them with names of their own.
_COUNTRY_TABLES: Final = 128

#: A few hundred bytes each.
_TAGS: Final = 2048

#: CLDR's entries that are no places: unknown, test locales, remote islands as a group, Eurozone.
_NO_COUNTRY: Final = frozenset({"ZZ", "XA", "XB", "QO", "EZ"})

#: English names that geo databases and CDNs use where CLDR has others, as `_name_key` writes them.
_OTHER_NAMES: Final = {
    "brunei darussalam": "BN",
    "burma": "MM",
    "cabo verde": "CV",
    "congo": "CG",
    "congo republic": "CG",
    "czech republic": "CZ",
    "democratic republic of the congo": "CD",
    "dr congo": "CD",
    "east timor": "TL",
    "great britain": "GB",
    "hashemite kingdom of jordan": "JO",
    "holy see": "VA",
    "hong kong": "HK",
    "ivory coast": "CI",
    "macao": "MO",
    "macau": "MO",
    "macedonia": "MK",
    "myanmar": "MM",
    "palestine": "PS",
    "republic of korea": "KR",
    "republic of lithuania": "LT",
    "republic of moldova": "MD",
    "republic of the congo": "CG",
    "russian federation": "RU",
    "swaziland": "SZ",
    "syrian arab republic": "SY",
    "turkey": "TR",
    "united states of america": "US",
    "usa": "US",
    "vatican": "VA",
    "viet nam": "VN",
}


def translate_location(
    location: Mapping[str, Any],
    locale: str,
    city_names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A copy of ``location`` whose ``country`` and ``city`` are in the language of ``locale``.

    Parameters
    ----------
    location
        Any JSON object. Of it only ``country``, ``countryCode`` and ``city`` are read, and only
        texts among them are replaced; nothing is added. The copy is shallow.
    locale
        A language tag: ``de``, ``de-AT``, ``de_AT``, ``zh-Hans``, in any case. What CLDR lacks is
        looked for without its last parts (``de-CN`` as ``de``). English, and a locale that is
        malformed or unknown, leave everything as it is.
    city_names
        Names of one city by language, as in MaxMind's ``names``. They count when they are of the
        location's city: when their English name, where they have one, is its ``city``.

    The country is the one of ``countryCode``, ISO 3166-1; only where that is no text, the one whose
    English name ``country`` is. A code or name that CLDR does not know leaves it as it is.

    Never raises for JSON values and any text as locale. The first call for a language reads its
    data, a few milliseconds; English reads none. Safe to call from any thread.
    """
    translated = dict(location)
    if locale == "en" or len(locale) > _LONGEST_TAG:
        return translated
    tag = _normalized(locale)
    if tag is None:
        return translated

    country = translated.get("country")
    if isinstance(country, str) and country:
        countries = _countries(tag)
        if countries:
            code = _country_code(translated.get("countryCode"), country)
            translated["country"] = countries.get(code, country)

    city = translated.get("city")
    if city_names and isinstance(city, str) and city_names.get("en", city) == city:
        name = _in_language(city_names, tag)
        if name is not None:
            translated["city"] = name
    return translated


def country_name(code: str) -> str | None:
    """The English name of the country with an ISO 3166-1 code, as CLDR has it; None if unknown.

    The first call reads English data, a few milliseconds. Safe to call from any thread.
    """
    return _countries("en").get(_country_code(code, "")) if code else None


@lru_cache(maxsize=_TAGS)
def _normalized(locale: str) -> str | None:
    """A tag as the library writes it, without extensions; None if malformed or English."""
    if _TAG.fullmatch(locale) is None:
        return None
    subtags = locale.lower().replace("-", "_").split("_")
    for position, subtag in enumerate(subtags):
        # A single letter or digit opens an extension, such as `u-co-phonebk`.
        if len(subtag) == 1:
            del subtags[position:]
            break
    # `und` is a language nobody knows; the library takes it for English.
    if subtags[0] in ("en", "eng", "und"):
        return None
    return "_".join(subtags[:_MOST_SUBTAGS])


def _shortened(tag: str) -> list[str]:
    """The tag and what is left of it without its last parts, as RFC 4647 looks tags up."""
    subtags = tag.split("_")
    return ["_".join(subtags[:count]) for count in range(len(subtags), 0, -1)]


@lru_cache(maxsize=_COUNTRY_TABLES)
def _countries(tag: str) -> dict[str, str]:
    """Names of countries by ISO 3166-1 code, in the language of a normalized tag; may be empty."""
    from babel import Locale, UnknownLocaleError, localedata

    # The library keeps whatever it has loaded, without a limit: 200 MB once visitors have named
    # every locale. What was there before belongs to others in this process and stays, as does
    # `root`, from which all are made. Without this attribute nothing is wrong but that memory.
    kept: dict[str, Any] = getattr(localedata, "_cache", {})
    before = {"root", *kept.copy()}
    try:
        for shorter in _shortened(tag):
            try:
                territories = Locale.parse(shorter).territories
            except (ValueError, UnknownLocaleError):
                continue
            return {
                code: name
                for code, name in territories.items()
                if len(code) == 2 and code not in _NO_COUNTRY and isinstance(name, str)
            }
        return {}
    finally:
        for name in kept.copy():
            if name not in before:
                kept.pop(name, None)


def _country_code(code: Any, country: str) -> str:
    """The ISO 3166-1 code of a location's country, empty if there is none to be found."""
    if not isinstance(code, str) or not code:
        # Longer than any name of a country, and folding case is work.
        return _codes_by_name().get(_name_key(country), "") if len(country) <= 64 else ""
    if len(code) > 3:
        return ""
    # UK for GB, and the codes of three letters or digits.
    return _code_aliases().get(code.upper(), code.upper())


@cache
def _code_aliases() -> dict[str, str]:
    """Codes that mean the same country as another; those that fell into several are left out."""
    from babel.core import get_global

    aliases = get_global("territory_aliases")
    return {code: meant[0] for code, meant in aliases.items() if len(meant) == 1}


@cache
def _codes_by_name() -> dict[str, str]:
    """ISO 3166-1 codes by `_name_key` of the English name."""
    names = {_name_key(name): code for code, name in _countries("en").items()}
    return {**_OTHER_NAMES, **names}


def _name_key(name: str) -> str:
    """A name without what English spellings differ in."""
    key = name.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    key = key.replace("&", "and").replace("saint ", "st. ")
    return key.removeprefix("the ").strip()


def _in_language(names: Mapping[str, str], tag: str) -> str | None:
    """The name in the language of a normalized tag, or None.

    First the tag and its shortened forms, then the same language and script in another country:
    MaxMind's `zh-CN` is what `zh-Hans` asks for, and not what `zh-TW` does.
    """
    by_tag = {_normalized(key): name for key, name in names.items() if len(key) <= _LONGEST_TAG}
    for shorter in _shortened(tag):
        # A language alone must not lead to another script: `zh_tw` is no `zh`.
        name = by_tag.get(shorter)
        if isinstance(name, str) and name and _written(shorter) == _written(tag):
            return name
    for key, name in by_tag.items():
        if key and isinstance(name, str) and name and _written(key) == _written(tag):
            return name
    return None


@lru_cache(maxsize=_TAGS)
def _written(tag: str) -> tuple[str, str]:
    """Language and script of a normalized tag; the likely script where it names none."""
    from babel.core import get_global

    language, *rest = tag.split("_")
    if rest and len(rest[0]) == 4 and rest[0].isalpha():
        return language, rest[0]
    likely = get_global("likely_subtags")
    region = rest[0].upper() if rest else ""
    full = likely.get(f"{language}_{region}") or likely.get(language) or ""
    parts = full.split("_")
    return language, parts[1].lower() if len(parts) > 1 else ""
