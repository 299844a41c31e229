"""Every endpoint and every code of the reference, with both clients, against a real server."""

from __future__ import annotations

import pathlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.client.callers import Caller
from tests.client.conftest import MakeCaller
from tests.server.geo_fixture import IN_MUNICH, MUNICH_LOCATION
from tests.server.running import STOREFRONT, Served, served

from whichvariant import Engine, errors, events
from whichvariant.client import ExperienceClient
from whichvariant.client.retries import NO_RETRIES
from whichvariant.events import RequestContext

NOBODY = "00000000-0000-4000-8000-000000000000"
CONTEXT = RequestContext(
    url="https://shop.example/tents?utm_campaign=winter",
    user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    locale="de-DE",
)
BERLIN = {"city": "Berlin", "country": "Germany", "countryCode": "DE", "continent": "EU"}


def page(**fields: Any) -> dict[str, Any]:
    """A page view."""
    return events.page(CONTEXT, **fields)


# ---- one profile --------------------------------------------------------------------------------


def test_create_update_get_delete(api: Caller) -> None:
    created = api.create([page()])
    profile = created.profile
    assert profile.id == profile.stable_id
    assert profile.session.count == 1
    assert not profile.session.is_returning_visitor
    assert profile.session.landing_page.path == "/tents"
    assert profile.session.landing_page.query == {"utm_campaign": "winter"}
    assert 0 <= profile.random <= 1

    updated = api.update(profile.id, [events.identify("", {"plan": "gold"}, context=CONTEXT)])
    assert updated.profile.traits == {"plan": "gold"}
    assert updated.profile.id == profile.id

    got = api.get(profile.id)
    assert got == updated
    engine = Engine.load(STOREFRONT)
    selection = engine.select(got.raw["profile"])
    assert [one.raw for one in got.experiences] == selection.experiences
    assert [one.raw for one in got.changes] == selection.changes
    assert got.changes
    assert list(got.profile.audiences) == selection.audiences
    assert got.configuration == engine.digest
    assert got.to_answer() == (got.raw["profile"], selection.experiences, selection.changes)

    assert api.delete(profile.id) is None
    with pytest.raises(errors.ApiProfileNotFound):
        api.get(profile.id)


def test_what_is_decided_has_names(api: Caller) -> None:
    answer = api.create([page(), events.identify("", {"plan": "gold"}, location=BERLIN)])
    raw = answer.raw
    for one, record in zip(answer.experiences, raw["experiences"], strict=True):
        assert one.experience_id == record["experienceId"]
        assert one.variant_index == record["variantIndex"]
        assert one.variants == record["variants"]
        assert one.sticky == record.get("sticky", False)
    for change, record in zip(answer.changes, raw["changes"], strict=True):
        assert (change.key, change.type, change.value) == (
            record["key"],
            "Variable",
            record["value"],
        )
        assert change.experience_id == record["meta"]["experienceId"]
        assert change.variant_index == record["meta"]["variantIndex"]
    assert answer.changes
    assert answer.profile.location.country_code == "DE"
    assert answer.profile.location.postal_code is None
    assert answer.profile.location.raw == BERLIN
    assert answer.profile.raw == raw["profile"]


def test_sticky_choices(api: Caller) -> None:
    seen = events.component("", experience_id="paymentSteps30J1b3rRrF", variant_index=1)
    answer = api.create([page(), seen])
    assert answer.profile.sticky_variants == {"paymentSteps30J1b3rRrF": 1}


def test_upsert_creates_then_updates(api: Caller) -> None:
    first = api.upsert(None, [page()])
    assert api.upsert("", [page()]).profile.id != first.profile.id
    assert api.upsert(first.profile.id, [page()]).profile.id == first.profile.id
    with pytest.raises(errors.ApiProfileNotFound):
        api.upsert(NOBODY, [page()])


def test_preflight_then_hydration(api: Caller) -> None:
    sent = [page()]
    rendered = api.create(sent, preflight=True)
    with pytest.raises(errors.ProfileNotFound):
        api.get(rendered.profile.id)
    again = api.update(rendered.profile.id, sent, preflight=True)
    assert again.experiences == rendered.experiences
    assert api.upsert(rendered.profile.id, sent, preflight=True).changes == rendered.changes
    hydrated = api.upsert(rendered.profile.id, sent)
    assert hydrated.profile.stable_id == rendered.profile.stable_id
    assert hydrated.experiences == rendered.experiences
    assert api.get(rendered.profile.id).profile == hydrated.profile


def test_locale_and_location(api: Caller) -> None:
    german = api.create([page()], location=BERLIN, locale="de")
    assert german.profile.location.country == "Deutschland"
    assert api.get(german.profile.id, locale="fr").profile.location.country == "Allemagne"
    assert api.get(german.profile.id).profile.location.raw == BERLIN


def test_features_and_ip(api: Caller) -> None:
    found = api.create([page()], features=["location"], ip=IN_MUNICH)
    assert found.profile.location.raw == MUNICH_LOCATION
    assert found.profile.location.city == "Munich"
    # Not asked for: where this program runs is nobody's location.
    assert api.create([page()], ip=IN_MUNICH).profile.location.raw == {}


def test_ids_that_need_encoding(api: Caller) -> None:
    for odd in ("née café/1?x=ü#", "a%2Fb", "..x", "a+b c"):
        name = odd + api.name
        (profile,) = api.upsert_many([page(anonymous_id=name)])
        assert profile.id == name
        assert api.get(name).profile.id == name
        api.update(name, [page()])
        api.delete(name)


# ---- many profiles ------------------------------------------------------------------------------


def test_upsert_many(api: Caller) -> None:
    names = [f"{api.name}-many-{number}" for number in range(3)]
    sent = [page(anonymous_id=name) for name in names for _ in range(2)]
    sent.append(events.identify("", {"plan": "gold"}, anonymous_id=names[1]))
    profiles = api.upsert_many(sent)
    assert [profile.id for profile in profiles] == names
    assert [profile.traits for profile in profiles] == [{}, {"plan": "gold"}, {}]
    # The same events again change nothing.
    assert [p.session.raw for p in api.upsert_many(sent)] == [p.session.raw for p in profiles]
    located = page(anonymous_id=names[0], location=BERLIN)
    (german,) = api.upsert_many([located], locale="de")
    assert german.location.country == "Deutschland"


def test_import_many(api: Caller) -> None:
    name = f"{api.name}-import"
    assert api.import_many([page(anonymous_id=name)]) is None
    until = time.monotonic() + 20
    while True:
        try:
            assert api.get(name).profile.id == name
            return
        except errors.ApiProfileNotFound:
            assert time.monotonic() < until
            time.sleep(0.02)


# ---- every code ---------------------------------------------------------------------------------


def test_invalid_data(api: Caller) -> None:
    broken = [{**page(), "type": "unheard-of"}]
    for ask in (
        lambda: api.create([]),
        lambda: api.create(broken),
        lambda: api.create([page()], features=["unheard-of"]),
        lambda: api.upsert_many([page()]),
        lambda: api.import_many(broken),
    ):
        with pytest.raises(errors.ApiInvalidData) as caught:
            ask()
        assert caught.value.status == 400
        assert caught.value.code == "ERR_INVALID_DATA"
    with pytest.raises(errors.ApiInvalidData, match=r"Update profile: .*events\[1\]\.messageId"):
        api.update(NOBODY, [page(), {k: v for k, v in page().items() if k != "messageId"}])


def test_profile_not_found(api: Caller) -> None:
    for ask in (
        lambda: api.get(NOBODY),
        lambda: api.update(NOBODY, [page()]),
        lambda: api.update(NOBODY, [page()], preflight=True),
        lambda: api.delete(NOBODY),
    ):
        with pytest.raises(errors.ApiProfileNotFound) as caught:
            ask()
        assert caught.value.status == 404
        assert caught.value.code == "ERR_PROFILE_NOT_FOUND"
        assert isinstance(caught.value, errors.ProfileNotFound)
        assert isinstance(caught.value, errors.ApiError)


def test_configuration_not_found(make_caller: MakeCaller, server: Served) -> None:
    api = make_caller(base_url=server.url, environment="nowhere")
    for ask in (lambda: api.create([page()]), lambda: api.get("x"), lambda: api.delete("x")):
        with pytest.raises(errors.ApiConfigurationNotFound) as caught:
            ask()
        assert caught.value.status == 404
        assert isinstance(caught.value, errors.ConfigurationNotFound)
    # Which the API does not say of what it does later.
    api.import_many([page(anonymous_id="x")])


def test_namespace_mismatch(api: Caller, make_caller: MakeCaller, server: Served) -> None:
    staging = make_caller(base_url=server.url, environment="staging")
    profile_id = api.create([page()]).profile.id
    with pytest.raises(errors.ApiNamespaceMismatch) as caught:
        staging.get(profile_id)
    assert caught.value.code == "ERR_NAMESPACE_MISMATCH"
    assert isinstance(caught.value, errors.NamespaceMismatch)


def test_profile_overload(tmp_path: pathlib.Path) -> None:
    """Both clients read it alike (test_failures.py); it takes threads to bring it about."""
    with (
        served(tmp_path, "--waiting-per-profile", "1") as server,
        ExperienceClient("default", base_url=server.url, retries=NO_RETRIES) as client,
    ):
        profile_id = client.create([page()]).profile.id

        def update(_: int) -> Exception | None:
            try:
                client.update(profile_id, [page() for _ in range(20)], timeout_s=30)
            except errors.ApiProfileOverload as error:
                return error
            return None

        with ThreadPoolExecutor(16) as threads:
            refused = [error for error in threads.map(update, range(64)) if error is not None]
    assert refused
    for error in refused:
        assert isinstance(error, errors.ProfileOverload)
        assert isinstance(error, errors.ApiError)
        assert (error.status, error.code) == (429, "ERR_PROFILE_OVERLOAD")
        assert error.retry_after_s == 1


# ---- what cannot be sent ------------------------------------------------------------------------


def test_what_cannot_be_sent(api: Caller) -> None:
    nested: dict[str, Any] = {}
    nested["again"] = nested
    for bad, path in (
        (float("nan"), r"events\[0\]\.properties\.price"),
        (b"bytes", r"events\[0\]\.properties\.price"),
        ("\ud800", r"events\[0\]\.properties\.price"),
        (nested, r"events\[0\]\.properties\.price"),
        (2**64, "events: not JSON"),
    ):
        with pytest.raises(errors.EventError, match=path):
            api.create([events.track("bought", {"price": bad})])
    for no_list in ("events", {"type": "page"}, iter([page()]), None):
        with pytest.raises(errors.EventError, match="events: expected a list"):
            api.create(no_list)
    with pytest.raises(errors.EventError, match=r"options\.location\.city"):
        api.create([page()], location={"city": b""})
    with pytest.raises(errors.InputError, match="profile_id"):
        api.get("")
    with pytest.raises(errors.InputError, match="surrogate"):
        api.get("\ud800")
    with pytest.raises(errors.InputError, match="ip"):
        api.create([page()], ip="1.2.3.4\r\nx: y")
    with pytest.raises(errors.InputError, match="traceparent"):
        api.get(NOBODY, traceparent="ü")
    with pytest.raises(ValueError, match="timeout_s"):
        api.get(NOBODY, timeout_s=-1)
