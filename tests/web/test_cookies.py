"""The cookie that carries a visitor's id."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from whichvariant.errors import SettingsError
from whichvariant.web import CookieSettings
from whichvariant.web.cookies import forget, keep_profile_id, read_profile_id

DEFAULT = CookieSettings()


@pytest.mark.parametrize(
    "good",
    [
        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "39b18bf3e2b959b4b008b2004656239b1ca85ea729d289f1bfdb709deab9d002",
        "x" * 128,
        "a.b_c:d~e-f",
    ],
)
def test_ids(good: str) -> None:
    assert read_profile_id({"ntaid": good}, DEFAULT) == good


@pytest.mark.parametrize(
    "bad",
    [
        "", " ", "x" * 129, "a b", "a;b", "a,b", "a\r\nSet-Cookie: x=1", "a%0d%0aX: y", "ä", "-a",
        "../../admin", "a/b", "a?b", '"a"', "<script>", "%00", "\x00", "null\n",
    ],
)  # fmt: skip
def test_what_is_no_id_is_no_cookie(bad: str) -> None:
    assert read_profile_id({"ntaid": bad}, DEFAULT) is None
    assert keep_profile_id(bad, DEFAULT, https=True) == []


def test_both_names_are_read() -> None:
    cookies = {"ctfl-opt-aid": "new", "ntaid": "old"}
    assert read_profile_id(cookies, DEFAULT) == "old"
    assert read_profile_id(cookies, CookieSettings(name="ctfl-opt-aid")) == "new"
    assert read_profile_id({"ctfl-opt-aid": "new", "ntaid": "%%"}, DEFAULT) == "new"
    assert read_profile_id(cookies, CookieSettings(name="mine", also_read=())) is None
    assert read_profile_id({"ntaid": "a%3Ab"}, DEFAULT) == "a:b"  # as js-cookie writes it


def header(settings: CookieSettings = DEFAULT, *, https: bool = True) -> str:
    (cookie,) = keep_profile_id("some-id", settings, https=https)
    return cookie.header()


def test_attributes() -> None:
    assert header() == "ntaid=some-id; Max-Age=31536000; Path=/; Secure; SameSite=Lax"
    assert header(https=False) == "ntaid=some-id; Max-Age=31536000; Path=/; SameSite=Lax"
    assert "Secure" in header(CookieSettings(secure=True), https=False)
    assert "Secure" not in header(CookieSettings(secure=False))
    assert "Secure" in header(CookieSettings(samesite="None"), https=False)
    made = CookieSettings(
        name="ctfl-opt-aid", domain="shop.example", path="/de", http_only=True, max_age_s=60
    )
    parsed = SimpleCookie(header(made))["ctfl-opt-aid"]
    assert parsed.value == "some-id"
    assert (parsed["domain"], parsed["path"], parsed["max-age"]) == ("shop.example", "/de", "60")
    assert parsed["httponly"] is True
    assert keep_profile_id("some-id", CookieSettings(name=""), https=True) == []


def test_forgetting() -> None:
    (cookie,) = forget({"ctfl-opt-aid": "x", "other": "y"}, DEFAULT, https=True)
    assert cookie.header() == (
        "ctfl-opt-aid=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; "
        "SameSite=Lax"
    )
    assert forget({}, DEFAULT, https=True) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "a b"}, "cookie name"),
        ({"name": "a\r\n"}, "cookie name"),
        ({"also_read": ("ok", "a=b")}, "cookie name"),
        ({"domain": "a;b"}, "cookie domain"),
        ({"path": "/\n"}, "cookie path"),
        ({"samesite": "lax"}, "cookie samesite"),
        ({"samesite": "None", "secure": False}, "only with secure"),
        ({"max_age_s": 0}, "cookie max_age_s"),
    ],
)
def test_settings_that_cannot_be_used(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CookieSettings(**wrong)  # type: ignore[arg-type]
