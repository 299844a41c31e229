"""Who decides, by every policy, and that whoever does decides alike."""

from __future__ import annotations

import asyncio
import pathlib
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.client import crooked as deeds
from tests.client.crooked import crooked
from tests.server.running import STOREFRONT, Served, free_port

from whichvariant import Engine, ProfileSettings, errors, events
from whichvariant.client import (
    AsyncExperienceClient,
    AsyncPreflight,
    Decided,
    ExperienceClient,
    Follower,
    Preflight,
)
from whichvariant.events import RequestContext

NOBODY = "00000000-0000-4000-8000-000000000000"
VISITOR = "39b18bf3e2b959b4b008b2004656239b1ca85ea729d289f1bfdb709deab9d002"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Mobile/15E148"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PAGE = events.page(RequestContext(url="https://shop.example/", user_agent=DESKTOP))
AGO = 1_790_000_000_000


class Both:
    """A preflight of either kind, with a client of its own, called without awaiting."""

    def __init__(self, kind: str, local: Any, url: str | None, **settings: Any) -> None:
        self.runner = asyncio.Runner()
        self.kind = kind
        if kind == "blocking":
            self.client: Any = ExperienceClient("default", base_url=url) if url else None
            self.preflights: Any = Preflight(local, self.client, **settings).open()
        else:
            self.client = AsyncExperienceClient("default", base_url=url) if url else None
            preflights = AsyncPreflight(local, self.client, **settings)
            self.preflights = self.runner.run(preflights.open())

    def preflight(self, *arguments: Any, **options: Any) -> Decided:
        """One question."""
        answered: Any = self.preflights.preflight(*arguments, **options)
        decided: Decided = answered if self.kind == "blocking" else self.runner.run(answered)
        return decided

    def close(self) -> None:
        """Everything."""
        if self.kind == "blocking":
            self.preflights.close()
            if self.client is not None:
                self.client.close()
        else:
            self.runner.run(self.preflights.close())
            if self.client is not None:
                self.runner.run(self.client.aclose())
        self.runner.close()


Make = Callable[..., Both]


@pytest.fixture(params=["blocking", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes preflights of one kind."""
    made: list[Both] = []

    def one(local: Any, url: str | None = None, **settings: Any) -> Both:
        made.append(Both(request.param, local, url, **settings))
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The made-up shop's."""
    return Engine.load(STOREFRONT)


@pytest.fixture(scope="module")
def remote_client(server: Served) -> Iterator[ExperienceClient]:
    """A client of the real server."""
    with ExperienceClient("default", base_url=server.url) as client:
        yield client


# ---- deciding alike -----------------------------------------------------------------------------

_PATHS = st.sampled_from(["/", "/tents", "/checkout", "/sale?utm_source=mail", "/de/?q=zelt"])
_TRAITS = st.fixed_dictionaries(
    {},
    optional={
        "plan": st.sampled_from(["gold", "silver"]),
        "age": st.integers(0, 90),
        "newsletter": st.booleans(),
        "email": st.sampled_from(["a@shop.example", "b@mail.example"]),
    },
)
_LOCATIONS = st.sampled_from(
    [
        None,
        {},
        {"city": "Berlin", "country": "Germany", "countryCode": "DE", "continent": "EU"},
        {"city": "Vienna", "country": "Austria", "countryCode": "AT", "continent": "EU"},
        {"country": "United States", "countryCode": "US", "continent": "NA"},
    ]
)


@st.composite
def visits(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of one visitor, of every kind, spread over some hours."""
    context = RequestContext(
        url=f"https://shop.example{draw(_PATHS)}",
        user_agent=draw(st.sampled_from([PHONE, DESKTOP, ""])),
        locale="de-DE",
        location=draw(_LOCATIONS),
    )
    makers: list[Callable[..., dict[str, Any]]] = [
        lambda **fields: events.page(context, **fields),
        lambda **fields: events.identify("", draw(_TRAITS), context=context, **fields),
        lambda **fields: events.track("add_to_cart", {"price": 9.5}, context=context, **fields),
        lambda **fields: events.screen("Home", context=context, **fields),
        lambda **fields: events.component(
            "", experience_id="paymentSteps30J1b3rRrF", variant_index=1, context=context, **fields
        ),
    ]
    times = st.integers(AGO, AGO + 6 * 3_600_000)
    chosen = draw(st.lists(st.tuples(st.sampled_from(makers), times), min_size=1, max_size=6))
    return [make_event(timestamp=at_ms) for make_event, at_ms in chosen]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(visit=visits(), locale=st.sampled_from(["en", "de", "fr"]), location=_LOCATIONS)
def test_local_answers_are_the_servers(
    engine: Engine,
    remote_client: ExperienceClient,
    visit: list[dict[str, Any]],
    locale: str,
    location: dict[str, Any] | None,
) -> None:
    options: Any = (
        {"locale": locale} if location is None else {"locale": locale, "location": location}
    )
    remote = Preflight(None, remote_client, remote_timeout_s=30).preflight(visit, **options)
    # Whoever is new gets an id at random, and the id decides.
    visitor = remote.profile["id"]
    local = Preflight(engine).preflight(visit, visitor, **options)
    assert (remote.decided_by, local.decided_by) == ("remote", "local")
    assert remote.configuration == local.configuration == engine.digest
    assert local.profile["random"] == 0
    remote.profile["random"] = 0
    assert local == remote


def test_a_profile_that_the_caller_keeps(make: Make, server: Served, engine: Engine) -> None:
    with ExperienceClient("default", base_url=server.url) as client:
        stored = client.create([events.identify("", {"plan": "gold"})])
        expected = client.update(stored.profile.id, [PAGE], preflight=True)
    decided = make(engine).preflight([PAGE], profile=stored.raw["profile"])
    assert decided.decided_by == "local"
    assert decided.profile["id"] == stored.profile.id
    assert decided.profile["traits"] == {"plan": "gold"}
    assert decided.experiences == [one.raw for one in expected.experiences]
    assert decided.changes == [one.raw for one in expected.changes]


# ---- policies -----------------------------------------------------------------------------------


def test_local_asks_nobody(make: Make, engine: Engine) -> None:
    with crooked() as server:
        decides = make(engine, server.url, policy="local")
        new = decides.preflight([PAGE])
        known = decides.preflight([PAGE], VISITOR, features=["location"], ip="192.0.2.1")
        assert server.asked == []
    assert (new.decided_by, known.decided_by) == ("local", "local")
    assert len(new.profile["id"]) == 64
    assert known.profile["id"] == known.profile["stableId"] == VISITOR
    assert known.experiences == engine.preflight({"stableId": VISITOR}, [PAGE]).experiences
    assert known.experiences
    assert known.configuration == engine.digest
    assert known.trouble is None
    assert known.to_dict().keys() == {"profile", "experiences", "changes"}
    again = pickle.loads(pickle.dumps(known))
    assert again == known
    assert again.decided_by == "local"


def test_local_then_remote(make: Make, engine: Engine) -> None:
    with crooked() as server:
        decides = make(engine, server.url)
        assert decides.preflights.policy == "local-then-remote"
        assert decides.preflight([PAGE]).decided_by == "local"
        assert decides.preflight([PAGE], profile={"stableId": VISITOR}).decided_by == "local"
        assert decides.preflight([PAGE], VISITOR, profile={"stableId": "x"}).decided_by == "local"
        assert server.asked == []
        # Only a server knows what it stores, and where addresses are.
        known = decides.preflight([PAGE], VISITOR, locale="de", traceparent="00-trace")
        assert known.decided_by == "remote"
        assert known == deeds.ONE_ANSWER
        assert known.configuration is None
        assert decides.preflight(
            [PAGE], features=["location"], ip="192.0.2.1", location={"city": "Berlin"}
        ).decided_by == ("remote")
        first, second = server.asked
    assert first.target.endswith(f"/profiles/{VISITOR}?type=preflight&locale=de")
    assert first.headers["traceparent"] == "00-trace"
    assert second.target.endswith("/profiles?type=preflight")
    assert second.headers["x-force-ip"] == "192.0.2.1"
    assert second.json["options"] == {"features": ["location"], "location": {"city": "Berlin"}}


def test_remote_then_local(make: Make, engine: Engine) -> None:
    with crooked(deeds.ok, deeds.silent, deeds.hang_up, deeds.answer(200, b"x")) as server:
        decides = make(engine, server.url, policy="remote-then-local", remote_timeout_s=0.3)
        assert decides.preflight([PAGE]) == deeds.ONE_ANSWER
        for kind in (errors.ApiTimeout, errors.ApiUnavailable, errors.InvalidResponse):
            started = time.monotonic()
            decided = decides.preflight([PAGE], VISITOR)
            assert time.monotonic() - started < 5
            assert decided.decided_by == "local"
            assert type(decided.trouble) is kind
            assert decided.profile["id"] == VISITOR
        assert decides.preflight([PAGE]).decided_by == "remote"


@pytest.mark.parametrize("policy", ["local-then-remote", "remote-then-local"])
@pytest.mark.parametrize(
    "deed",
    [
        deeds.refusal(500, "ERR_INTERNAL_SERVER_ERROR"),
        deeds.refusal(429, "ERR_PROFILE_OVERLOAD"),
        deeds.answer(403, b"a firewall"),
        deeds.answer(504, b"a gateway"),
    ],
)
def test_troubles_of_the_api(make: Make, engine: Engine, policy: Any, deed: deeds.Deed) -> None:
    with crooked(deed) as server:
        decided = make(engine, server.url, policy=policy).preflight([PAGE], VISITOR)
    assert decided.decided_by == "local"
    assert decided.trouble is not None


@pytest.mark.parametrize("policy", ["local-then-remote", "remote-then-local", "remote"])
def test_what_the_api_refuses_is_refused(
    make: Make, engine: Engine, server: Served, policy: Any
) -> None:
    decides = make(engine, server.url, policy=policy, remote_timeout_s=30)
    with pytest.raises(errors.ProfileNotFound):
        decides.preflight([PAGE], NOBODY)
    with pytest.raises((errors.EventError, errors.ApiInvalidData)):
        decides.preflight([], VISITOR)


def test_remote_alone(make: Make) -> None:
    with crooked(deeds.ok, deeds.busy, deeds.busy) as server:
        decides = make(None, server.url)
        assert decides.preflights.policy == "remote"
        assert decides.preflight([PAGE]).decided_by == "remote"
        with pytest.raises(errors.ApiUnavailable):
            decides.preflight([PAGE])


def test_rest_after_a_failure(make: Make, engine: Engine) -> None:
    with crooked(*[deeds.hang_up] * 2) as server:
        decides = make(engine, server.url, policy="remote-then-local", rest_s=0.5)
        assert decides.preflight([PAGE]).trouble is not None
        for _ in range(5):
            resting = decides.preflight([PAGE])
            assert (resting.decided_by, resting.trouble) == ("local", None)
        assert len(server.asked) == 1
        time.sleep(0.6)
        assert decides.preflight([PAGE]).trouble is not None
        time.sleep(0.6)
        assert decides.preflight([PAGE]).decided_by == "remote"
        assert decides.preflight([PAGE]).decided_by == "remote"


def test_settings_of_profiles(make: Make, engine: Engine) -> None:
    decides = make(engine, settings=ProfileSettings(jurisdiction="EU"))
    assert decides.preflight([PAGE]).profile["jurisdiction"] == "EU"


def test_the_time_of_receipt(make: Make, engine: Engine) -> None:
    late = events.page(RequestContext(url="https://shop.example/"), timestamp=AGO + 10)
    decides = make(engine)
    assert decides.preflight([late], now=AGO).profile["session"]["count"] == 1
    with pytest.raises(errors.EventError, match="now"):
        decides.preflight([late], now="whenever")


def test_settings_that_contradict(engine: Engine) -> None:
    client = ExperienceClient("default", base_url="http://127.0.0.1:9")
    for arguments, options, message in (
        ((None,), {}, "needs a client"),
        ((None, client), {"policy": "local"}, "needs a configuration"),
        ((engine,), {"policy": "remote-then-local"}, "needs a client"),
        ((engine, client), {"policy": "both"}, "'both' is none"),
        ((engine, client), {"remote_timeout_s": 0}, "remote_timeout_s"),
    ):
        with pytest.raises(ValueError, match=message):
            Preflight(*arguments, **options)  # type: ignore[arg-type]
    client.close()


# ---- configurations that come and go ------------------------------------------------------------


def test_a_path_is_followed(make: Make, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    decides = make(path)
    with pytest.raises(errors.ConfigurationUnavailable):
        decides.preflight([PAGE])
    shutil.copy(STOREFRONT, path)
    decides.preflights._rules.follower.refresh()
    assert decides.preflight([PAGE]).decided_by == "local"


def test_without_a_configuration_the_api_decides(make: Make, tmp_path: pathlib.Path) -> None:
    with crooked(deeds.ok, deeds.busy, deeds.busy) as server:
        decides = make(tmp_path / "missing.json", server.url)
        assert decides.preflight([PAGE]).decided_by == "remote"
        with pytest.raises(errors.ApiUnavailable):
            decides.preflight([PAGE])


def test_an_old_configuration_is_for_emergencies(make: Make, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    shutil.copy(STOREFRONT, path)
    follower = Follower.files(path, poll_s=0)
    with crooked(deeds.ok, deeds.hang_up) as server:
        decides = make(follower, server.url, max_age_s=0.3)
        assert decides.preflight([PAGE]).decided_by == "local"
        time.sleep(0.4)
        assert decides.preflight([PAGE]).decided_by == "remote"
        assert decides.preflight([PAGE]).decided_by == "local"  # the API failed
        follower.refresh()
        assert decides.preflight([PAGE]).decided_by == "local"
        assert len(server.asked) == 2


# ---- what becomes of a page ---------------------------------------------------------------------


def test_a_visitor_who_was_new_here_is_known_there_afterwards(
    make: Make, engine: Engine, server: Served
) -> None:
    """The documented way of a locally rendered page to stored profiles."""
    rendered = make(engine).preflight([PAGE])
    profile_id = rendered.profile["id"]
    with ExperienceClient("default", base_url=server.url) as client:
        client.upsert_many(events.addressed([PAGE], profile_id))
        hydrated = client.update(profile_id, [PAGE])
    assert hydrated.profile.stable_id == profile_id
    assert hydrated.raw["experiences"] == rendered.experiences
    assert hydrated.raw["changes"] == rendered.changes
    assert hydrated.profile.session.count == 1


def test_nobody_listens(make: Make, engine: Engine) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    decided = make(engine, url, policy="remote-then-local").preflight([PAGE])
    assert decided.decided_by == "local"
    assert isinstance(decided.trouble, errors.ApiUnavailable)
