"""Country and city in the language that is asked for (docs/profiles.md "Locale")."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from typing import Any

import pytest
from babel import localedata
from hypothesis import given, settings
from hypothesis import strategies as st

from whichvariant.profiles import place_names
from whichvariant.profiles.place_names import translate_location

VIENNA = {
    "coordinates": {"latitude": 48.20849, "longitude": 16.37208},
    "city": "Vienna",
    "postalCode": "1010",
    "region": "Vienna",
    "regionCode": "9",
    "country": "Austria",
    "countryCode": "AT",
    "continent": "EU",
    "timezone": "Europe/Vienna",
}

# As MaxMind's databases have them.
VIENNA_NAMES = {
    "de": "Wien",
    "en": "Vienna",
    "es": "Viena",
    "fr": "Vienne",
    "ja": "ウィーン",
    "pt-BR": "Viena",
    "ru": "Вена",
    "zh-CN": "维也纳",
}

HOSTILE = [
    "",
    " ",
    "-",
    "_",
    "x",
    "de-",
    "-de",
    "de--AT",
    "de AT",
    "de\x00",
    "\x00de",
    "de\n",
    "../../etc/passwd",
    "..\\..\\windows",
    "de/../en",
    "/etc/passwd",
    "de.UTF-8",
    "de_AT@euro",
    "root",
    "und",
    "xx",
    "xx-US",
    "q" * 8,
    "C",
    "POSIX",
    "con",
    "de" * 5000,
    "de-" * 5000,
    "de" + "-AT" * 12,
    "dé",
    "ＤＥ",
    "\N{KELVIN SIGN}o",
    "\ud800",
    "İt",
    "*",
    "None",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=6,
)
locations = st.fixed_dictionaries(
    {},
    optional={
        "country": st.sampled_from(["Germany", "Austria", "Atlantis", ""]) | json_values,
        "countryCode": st.sampled_from(["DE", "at", "UK", "ZZ", "XX", "DEU"]) | json_values,
        "city": st.just("Vienna") | json_values,
        "coordinates": json_values,
        "extra": json_values,
    },
)
locales = (
    st.sampled_from([*HOSTILE, "de", "de-AT", "pt_BR", "zh-Hans", "ZH-tw", "ja", "en", "en-GB"])
    | st.text(st.characters(codec=None), max_size=40)
    | st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,4}", fullmatch=True)
)


def country(name: Any, code: Any, locale: str = "de") -> Any:
    """The translated country of a location that has nothing else."""
    return translate_location({"country": name, "countryCode": code}, locale)["country"]


class TestLanguages:
    @pytest.mark.parametrize(
        ("locale", "expected_country", "expected_city"),
        [
            ("de", "Österreich", "Wien"),
            ("de-AT", "Österreich", "Wien"),
            ("de_AT", "Österreich", "Wien"),
            ("DE-at", "Österreich", "Wien"),
            ("de-CN", "Österreich", "Wien"),
            ("de-DE-1996", "Österreich", "Wien"),
            ("de-DE-u-co-phonebk", "Österreich", "Wien"),
            ("fr-XX", "Autriche", "Vienne"),
            ("es-419", "Austria", "Viena"),
            ("pt-BR", "Áustria", "Viena"),
            ("pt", "Áustria", "Viena"),
            ("pt-PT", "Áustria", "Viena"),
            ("ja-JP", "オーストリア", "ウィーン"),
            ("ru-UA", "Австрия", "Вена"),
            ("zh", "奥地利", "维也纳"),
            ("zh-CN", "奥地利", "维也纳"),
            ("zh-Hans", "奥地利", "维也纳"),
            ("zh_hans_hk", "奥地利", "维也纳"),
            ("zh-SG", "奥地利", "维也纳"),
            # Another script: no name for the city.
            ("zh-TW", "奧地利", "Vienna"),
            ("ZH-hant", "奧地利", "Vienna"),
            ("zh-Hant-US", "奧地利", "Vienna"),
            ("sr", "Аустрија", "Vienna"),
            ("sr-Latn-DE", "Austrija", "Vienna"),
            ("no-NO", "Østerrike", "Vienna"),
            ("en", "Austria", "Vienna"),
            ("en-GB", "Austria", "Vienna"),
            ("EN_us", "Austria", "Vienna"),
        ],
    )
    def test_has_its_names(self, locale: str, expected_country: str, expected_city: str) -> None:
        assert translate_location(VIENNA, locale, VIENNA_NAMES) == {
            **VIENNA,
            "country": expected_country,
            "city": expected_city,
        }

    @pytest.mark.parametrize("locale", HOSTILE)
    def test_that_are_none_leave_everything(self, locale: str) -> None:
        assert translate_location(VIENNA, locale, VIENNA_NAMES) == VIENNA

    def test_regions_have_their_own_names(self) -> None:
        assert country("Latvia", "LV", "pt-BR") == "Letônia"
        assert country("Latvia", "LV", "pt-PT") == "Letónia"


class TestCountries:
    @pytest.mark.parametrize(
        ("name", "code", "expected"),
        [
            ("Germany", "DE", "Deutschland"),
            ("Germany", "de", "Deutschland"),
            ("Germany", "DEU", "Deutschland"),
            ("Germany", "276", "Deutschland"),
            ("United Kingdom", "UK", "Vereinigtes Königreich"),
            # The code is what counts.
            ("Germany", "FR", "Frankreich"),
            ("Allemagne", "DE", "Deutschland"),
            # Codes for no country.
            ("Nowhere", "XX", "Nowhere"),
            ("Nowhere", "T1", "Nowhere"),
            ("Nowhere", "ZZ", "Nowhere"),
            ("Nowhere", "EZ", "Nowhere"),
            ("Europe", "150", "Europe"),
            ("Germany", "DE" * 5000, "Germany"),
            # Without a code, by name.
            ("Germany", None, "Deutschland"),
            ("Germany", "", "Deutschland"),
            ("Germany", 49, "Deutschland"),
            ("germany", None, "Deutschland"),
            ("The Netherlands", None, "Niederlande"),
            ("Bosnia and Herzegovina", None, "Bosnien und Herzegowina"),
            ("Türkiye", None, "Türkei"),
            ("Turkey", None, "Türkei"),
            ("Czech Republic", None, "Tschechien"),
            ("Ivory Coast", None, "Côte d’Ivoire"),
            ("Saint Lucia", None, "St. Lucia"),
            ("Unknown Region", None, "Unknown Region"),
            ("Atlantis", None, "Atlantis"),
            ("A" * 100_000, None, "A" * 100_000),
            # No text: passes through.
            (None, "DE", None),
            (49, "DE", 49),
            (["Germany"], "DE", ["Germany"]),
            ("", "DE", ""),
        ],
    )
    def test_by_code_or_else_by_name(self, name: Any, code: Any, expected: Any) -> None:
        assert country(name, code) == expected

    def test_nothing_is_added(self) -> None:
        assert translate_location({"countryCode": "DE"}, "de", {"de": "Wien"}) == {
            "countryCode": "DE"
        }
        assert translate_location({}, "de", {"de": "Wien"}) == {}

    def test_every_other_name_is_of_a_country(self) -> None:
        countries = place_names._countries("de")
        known = {*map(place_names._name_key, place_names._countries("en").values())}
        for name, code in place_names._OTHER_NAMES.items():
            assert code in countries, name
            assert place_names._name_key(name) == name
            assert name not in known, name


class TestCities:
    def test_names_of_another_city_do_not_count(self) -> None:
        graz = {"city": "Graz", "countryCode": "AT"}
        assert translate_location(graz, "de", VIENNA_NAMES) == graz

    def test_names_without_an_english_one_count(self) -> None:
        assert translate_location({"city": "Vienna"}, "de-AT", {"de": "Wien"})["city"] == "Wien"

    @pytest.mark.parametrize("names", [None, {}, {"fr": "Vienne"}, {"de": ""}, {"de": 5}])
    def test_without_a_name_in_that_language_stay(self, names: Any) -> None:
        assert translate_location({"city": "Vienna"}, "de", names) == {"city": "Vienna"}

    def test_the_closest_tag_wins(self) -> None:
        names = {"de": "Wien", "de-AT": "Wean"}
        assert translate_location({"city": "Vienna"}, "de_at", names)["city"] == "Wean"
        assert translate_location({"city": "Vienna"}, "de-CH", names)["city"] == "Wien"


class TestAnyInput:
    @settings(deadline=None)
    @given(locations, locales)
    def test_is_answered_and_never_changed(self, location: dict[str, Any], locale: str) -> None:
        before = copy.deepcopy(location)
        translated = translate_location(location, locale, VIENNA_NAMES)
        assert location == before
        assert translated is not location
        assert translated.keys() == location.keys()
        for key, value in translated.items():
            if key not in ("country", "city"):
                assert value is location[key]
            elif value != location[key]:
                assert isinstance(value, str)
                assert isinstance(location[key], str)

    def test_is_answered_from_many_threads(self) -> None:
        place_names._countries.cache_clear()
        expected = {"de": "Österreich", "fr": "Autriche", "ja": "オーストリア", "xx": "Austria"}
        wrong: list[str] = []
        ready = threading.Barrier(8)

        def ask() -> None:
            ready.wait()
            for locale, name in [*expected.items()] * 20:
                place_names._countries.cache_clear()
                if translate_location(VIENNA, locale)["country"] != name:
                    wrong.append(locale)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestMemory:
    def test_is_not_held_for_every_locale_that_was_named(self) -> None:
        loaded: dict[str, object] = localedata._cache
        before = set(loaded)
        for locale in localedata.locale_identifiers()[:300]:
            translate_location(VIENNA, locale)
        assert set(loaded) <= before | {"root"}

    def test_leaves_what_others_have_loaded(self) -> None:
        theirs = localedata.load("it")
        place_names._countries.cache_clear()
        assert country("Germany", "DE", "it-CH") == "Germania"
        assert localedata.load("it") is theirs

    @pytest.mark.parametrize("cached", ["_countries", "_normalized", "_written"])
    def test_caches_are_bounded(self, cached: str) -> None:
        bound = getattr(place_names, cached).cache_info().maxsize
        assert bound is not None
        assert bound <= 2048

    def test_english_loads_nothing(self) -> None:
        code = (
            "import sys; from whichvariant.profiles.place_names import translate_location as t;"
            "v = {'city': 'Vienna', 'country': 'Austria'};"
            "n = {'en': 'Vienna', 'de': 'Wien'};"
            "assert all(t(v, x, n) == v for x in ('en', 'en-US', 'EN_gb', '', '../de', 'd' * 99));"
            "assert 'babel' not in sys.modules;"
            "assert t(v, 'de', n) == {'city': 'Wien', 'country': 'Österreich'}"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
