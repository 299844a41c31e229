"""Three configurations with their visitors, made from a seed: small, usual and large.

| | experiences | audiences | leaves each | attribute paths |
|---|---|---|---|---|
| W1 | 10 | 10 | 2 | 8 |
| W2 | 200 | 100 | about 4, nested | about 20 |
| W3 | 2,000 | 1,000 | 5, nested | about 40 |

All three have the shape of a real space: Contentful ids, mostly entry replacements split in half,
few sticky experiences, rules that mostly compare short texts. The share of (profile, experience)
pairs that match is set for each workload, since it decides how much work the records are. Activity
rules are left out: what they cost depends on the visitor's history, not on the configuration.
"""

from __future__ import annotations

import functools
import json
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.prepared import PreparedEngine, evaluate, prepare

Json = Any
Name = Literal["W1", "W2", "W3"]

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


@dataclass(frozen=True)
class Workload:
    """A native configuration document and profiles in the API's shape."""

    name: str
    document: dict[str, Json]
    profiles: list[dict[str, Json]]

    @functools.cached_property
    def blobs(self) -> list[bytes]:
        """The profiles as compact JSON, as a profile store would hold them."""
        return [
            json.dumps(profile, separators=(",", ":"), ensure_ascii=False).encode()
            for profile in self.profiles
        ]

    @functools.cached_property
    def match_rate(self) -> float:
        """The share of (profile, experience) pairs that are selected, by the naive interpreter."""
        engine = PreparedEngine(self.document)
        selected = sum(len(engine.select(profile)[0]) for profile in self.profiles)
        return selected / (len(self.profiles) * len(self.document["experiences"]))


# --- attributes ---------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


CITIES = words(
    "Berlin Hamburg Munich Cologne Frankfurt Paris Lyon Marseille Lille Madrid Barcelona Valencia "
    "Rome Milan Turin Vienna Graz Zurich Geneva Amsterdam Rotterdam Brussels Antwerp London "
    "Manchester Leeds Dublin Lisbon Porto Warsaw Krakow Prague Brno Budapest Copenhagen Stockholm "
    "Oslo Helsinki Athens Istanbul Boston Chicago Denver Austin Seattle Toronto Montreal Sydney "
    "Melbourne Auckland"
)
COUNTRIES = words("DE FR ES IT AT CH NL BE GB IE PT PL CZ HU DK SE NO FI GR TR US CA AU NZ JP")
REGIONS = [f"Region {letter}{number}" for letter in "ABCDE" for number in range(1, 9)]
INDUSTRIES = words(
    "software retail finance insurance health education media travel energy logistics food legal"
)
NAMES = words(
    "Acme Globex Initech Umbrella Hooli Vandelay Stark Wayne Wonka Cyberdyne Tyrell Soylent Dunder "
    "Sterling Pied Bluth Oscorp Gringotts Monsters Duff Krusty Oceanic Virtucon Nakatomi Prestige"
)
COMPANIES = [f"{name} {form}" for name in NAMES for form in ("GmbH", "Ltd")]
GIVEN_NAMES = words("Ada Alan Anna Barbara Chloë Edsger Grace Jürgen Ken Leslie Radia Zoë")
FAMILY_NAMES = words("Backus Dijkstra Hopper Knuth Lamport Liskov Naur Perlman Ritchie Wirth")
CATEGORIES = words(
    "shoes shirts jackets bags hats scarves socks jeans dresses skirts coats belts watches rings "
    "glasses gloves sweaters shorts suits ties"
)
BRANDS = [f"brand-{number}" for number in range(30)]
CAMPAIGNS = [
    f"{season}-{number}" for season in ("spring", "summer", "autumn") for number in "12345"
]
PATHS = [
    "/",
    "/pricing",
    "/about",
    "/careers",
    *(f"/products/{category}" for category in CATEGORIES),
    *(f"/blog/{number}" for number in range(1, 7)),
]
REFERRERS = ["", *(f"https://www.{name.lower()}.example/" for name in NAMES[:11])]


@dataclass(frozen=True)
class Attribute:
    """One attribute: where rules find it, how often profiles have it, and what it holds.

    ``pool`` is for texts, most frequent first; ``number`` draws numbers; neither means a boolean.
    ``needles`` are what `contains` and `startsWith` rules look for.
    """

    type: str
    key: str
    presence: float
    pool: tuple[str, ...] = ()
    number: Callable[[random.Random], float] | None = None
    needles: tuple[str, ...] = ()

    def sample(self, rng: random.Random) -> Json:
        """A value for a profile, or a text for a rule: frequent values are frequent in both."""
        if self.pool:
            return self.pool[int(len(self.pool) * rng.random() ** 1.6)]
        return self.number(rng) if self.number else rng.random() < 0.4


def trait(
    key: str, presence: float, values: Any = None, needles: tuple[str, ...] = ()
) -> Attribute:
    """A trait with a pool of texts, a number, or, without values, a boolean."""
    if callable(values):
        return Attribute("identify", key, presence, number=values)
    return Attribute("identify", key, presence, pool=tuple(values or ()), needles=needles)


def whole(low: int, high: int) -> Callable[[random.Random], float]:
    """Whole numbers, small ones more often."""
    return lambda rng: low + int((high - low + 1) * rng.random() ** 2)


def money(high: int) -> Callable[[random.Random], float]:
    """Amounts with cents."""
    return lambda rng: round(high * rng.random() ** 2, 2)


COMPANY_NEEDLES = ("GmbH", "Ltd", "Stark", "Wayne", "Acme", "Glo")
PATH_NEEDLES = ("/products/", "/blog/", "/p", "/products/s")

# In order of importance: W1 uses the first 8, W2 the first 20, W3 all.
ATTRIBUTES = (
    trait("plan", 0.8, ["free", "starter", "team", "business", "enterprise"]),
    Attribute("location", "countryCode", 0.95, tuple(COUNTRIES)),
    trait("age", 0.6, whole(16, 80)),
    Attribute("session", "count", 1, number=whole(1, 40)),
    Attribute("isReturningVisitor", "", 1),
    trait("newsletter", 0.7),
    Attribute("location", "city", 0.9, tuple(CITIES)),
    Attribute("session", "landingPage.path", 1, tuple(PATHS), needles=PATH_NEEDLES),
    trait("industry", 0.5, INDUSTRIES),
    trait("company", 0.4, COMPANIES, COMPANY_NEEDLES),
    trait("account.tier", 0.6, ["bronze", "silver", "gold", "platinum"]),
    trait("account.seats", 0.5, whole(1, 500)),
    trait("preferences.category", 0.6, CATEGORIES),
    Attribute("session", "landingPage.query.utm_source", 0.5, tuple(NAMES[:8])),
    Attribute(
        "session", "landingPage.query.utm_campaign", 0.4, tuple(CAMPAIGNS), needles=("sp", "-1")
    ),
    trait("lifetimeValue", 0.6, money(5000)),
    trait("orders", 0.6, whole(0, 60)),
    trait("vip", 0.4),
    Attribute("location", "region", 0.9, tuple(REGIONS), needles=("Region A", "Region B", "1")),
    Attribute(
        "session", "landingPage.referrer", 1, tuple(REFERRERS), needles=("https://", "e.example")
    ),
    trait("language", 0.6, words("en de fr es it nl pl pt sv da")),
    trait("role", 0.4, words("developer designer marketer manager founder student analyst other")),
    trait("account.trial", 0.5),
    trait("account.region", 0.3, REGIONS[:20]),
    trait("preferences.theme", 0.5, ["light", "dark", "auto", "contrast", "print"]),
    trait("preferences.currency", 0.4, ["EUR", "USD", "GBP", "CHF", "PLN", "SEK"]),
    trait("favourite.brand", 0.4, BRANDS, ("brand-1", "brand-2")),
    trait("favourite.colour", 0.3, words("black white red blue green grey brown pink")),
    trait("cart.items", 0.4, whole(0, 12)),
    trait("cart.value", 0.4, money(900)),
    trait("signupSource", 0.4, words("ads organic partner referral event email social store")),
    trait("lastCampaign", 0.3, CAMPAIGNS),
    trait("segment", 0.5, [f"segment-{letter}" for letter in "abcdef"]),
    trait("score", 0.5, whole(0, 100)),
    trait("betaTester", 0.3),
    Attribute("location", "continent", 0.95, ("EU", "NA", "OC", "AS", "SA", "AF")),
    Attribute("location", "timezone", 0.9, tuple(f"Europe/{city}" for city in CITIES[:15])),
    Attribute("location", "postalCode", 0.7, tuple(str(10115 + 7 * n) for n in range(50))),
    Attribute("session", "activeSessionLength", 1, number=whole(0, 1800)),
    Attribute("session", "averageSessionLength", 1, number=money(1200)),
)


# --- sizes --------------------------------------------------------------------------------------

L = "leaf"
SHAPES_OF_TWO = (
    ("any", ("all", L, L)),
    ("any", ("all", L), ("all", L)),
)
SHAPES_OF_ABOUT_FOUR = (
    ("any", ("all", L, L), ("all", L, L)),
    ("any", ("all", L, ("any", L, L)), ("all", L)),
    ("any", ("all", L, ("not", L), ("any", L, L))),
    ("any", ("all", L), ("all", L), ("all", L, L)),
    ("any", ("all", ("any", L, L), ("any", L, L))),
    ("any", ("all", L, ("not", ("all", L, L)))),
    ("any", ("all", L, L, ("not", ("any", L, ("all", L, L))))),
    ("any", ("all", L, L, L), ("all", L, L)),
)
SHAPES_OF_FIVE = (
    ("any", ("all", L, L), ("all", L, L, L)),
    ("any", ("all", L, ("any", L, L)), ("all", L, L)),
    ("any", ("all", L, ("not", L), ("any", L, L, L))),
    ("any", ("all", L), ("all", L, L), ("all", L, L)),
    ("any", ("all", ("any", L, L, L), ("any", L, L))),
    ("any", ("all", L, L, ("not", ("any", L, ("all", L, L))))),
    ("any", ("all", L, L), ("all", L, ("not", ("all", L, L)))),
)


@dataclass(frozen=True)
class Size:
    """How much of everything, and the mean share of profiles that an audience should match."""

    experiences: int
    audiences: int
    paths: int
    profiles: int
    audience_rate: float
    shapes: tuple[Any, ...]


SIZES: dict[str, Size] = {
    "W1": Size(10, 10, 8, 1000, 0.26, SHAPES_OF_TWO),
    "W2": Size(200, 100, 20, 400, 0.285, SHAPES_OF_ABOUT_FOUR),
    "W3": Size(2000, 1000, 40, 200, 0.27, SHAPES_OF_FIVE),
}

# Rules are drawn until one matches about as many profiles as wanted; these many profiles decide.
SAMPLE = 120
CANDIDATES = 8


def workload(name: Name, seed: int = 1) -> Workload:
    """One of the three workloads. The same name and seed give the same workload everywhere."""
    size = SIZES[name]
    # The name takes part in the seed, or all three would begin with the same ids and profiles.
    rng = random.Random(f"{name}/{seed}")
    audience_ids = [contentful_id(rng) for _ in range(size.audiences)]
    profiles = [make_profile(rng, audience_ids) for _ in range(size.profiles)]
    rules = _Rules(rng, ATTRIBUTES[: size.paths], profiles[:SAMPLE])
    # Narrow audiences and broad ones. Drawing the rates would leave their mean to chance.
    spread = [((number + 0.5) / size.audiences) ** 1.5 for number in range(size.audiences)]
    rates = rng.sample([2.5 * size.audience_rate * one for one in spread], size.audiences)
    audiences = [
        {
            "nt_audience_id": identifier,
            "nt_name": f"Audience {number}",
            "nt_rules": rules.make(size.shapes, rate),
        }
        for number, (identifier, rate) in enumerate(zip(audience_ids, rates, strict=True))
    ]
    experiences = make_experiences(rng, size.experiences, audience_ids)
    lock_some(rng, experiences, profiles)
    document = {
        "format": "whichvariant/1",
        "scheme": "murmur3",
        "audiences": audiences,
        "experiences": experiences,
    }
    return Workload(name, document, profiles)


def contentful_id(rng: random.Random) -> str:
    """An id like Contentful's: 22 characters of base 62."""
    return "".join(rng.choices(BASE62, k=22))


def make_uuid(rng: random.Random) -> str:
    """A UUID of version 4, drawn from our own generator."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


# --- profiles -----------------------------------------------------------------------------------


def make_profile(rng: random.Random, audience_ids: list[str]) -> dict[str, Json]:
    """One visitor. All attributes of the pool occur in every workload, used by rules or not."""
    stable_id = make_uuid(rng)
    given, family = rng.choice(GIVEN_NAMES), rng.choice(FAMILY_NAMES)
    # Traits that no rule reads, as every real profile has them.
    traits: dict[str, Json] = {
        "firstname": given,
        "lastname": family,
        "email": f"{given}.{family}@{rng.choice(NAMES)}.example".lower(),
    }
    location: dict[str, Json] = {}
    session: dict[str, Json] = {"id": make_uuid(rng)}
    query: dict[str, str] = {}
    for attribute in ATTRIBUTES:
        value = attribute.sample(rng)
        if rng.random() >= attribute.presence:
            continue
        if attribute.type == "identify":
            *parents, last = attribute.key.split(".")
            holder = traits
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[last] = value
        elif attribute.type == "location":
            location[attribute.key] = value
        elif attribute.key.startswith("landingPage.query."):
            query[attribute.key.removeprefix("landingPage.query.")] = value
        else:
            session[attribute.key or "isReturningVisitor"] = value
    search = "&".join(f"{name}={value}" for name, value in query.items())
    search = f"?{search}" if search else ""
    path = session.pop("landingPage.path")
    session["isReturningVisitor"] = session["count"] > 1
    session["landingPage"] = {
        "path": path,
        "query": query,
        "referrer": session.pop("landingPage.referrer"),
        "search": search,
        "url": f"https://www.example.com{path}{search}",
    }
    location["coordinates"] = {
        "latitude": round(rng.uniform(-60, 60), 5),
        "longitude": round(rng.uniform(-180, 180), 5),
    }
    return {
        "id": stable_id,
        "stableId": stable_id,
        "random": rng.getrandbits(32) / 4294967295,
        "audiences": rng.sample(audience_ids, rng.randint(1, 7)),
        "traits": traits,
        "location": location,
        "session": session,
    }


def lock_some(
    rng: random.Random, experiences: list[dict[str, Json]], profiles: list[dict[str, Json]]
) -> None:
    """Every fifth profile has seen sticky experiences; some of the indices exist no longer."""
    sticky = [each["nt_experience_id"] for each in experiences if each["nt_config"]["sticky"]]
    for profile in rng.sample(profiles, len(profiles) // 5):
        locked = rng.sample(sticky, min(len(sticky), rng.randint(1, 3)))
        profile["stickyVariants"] = {
            identifier: rng.choice([0, 0, 0, 1, 1, 1, 1, 7]) for identifier in locked
        }


# --- experiences --------------------------------------------------------------------------------


def make_experiences(
    rng: random.Random, count: int, audience_ids: list[str]
) -> list[dict[str, Json]]:
    """Experiences in random order of ids. Each audience is used; beyond that a tenth is for all."""
    audiences: list[str | None] = list(audience_ids)
    audiences += [
        None if rng.random() < 0.1 else rng.choice(audience_ids)
        for _ in range(count - len(audience_ids))
    ]
    rng.shuffle(audiences)
    sticky = set(rng.sample(range(count), max(1, count // 20)))
    inline = set(rng.sample(range(count), max(1, count // 10)))
    return [
        make_experience(rng, number, audience, number in sticky, number in inline)
        for number, audience in enumerate(audiences)
    ]


def make_experience(
    rng: random.Random, number: int, audience: str | None, sticky: bool, inline: bool
) -> dict[str, Json]:
    """One experience with one or two components, and as many variants as it has shares."""
    kind = rng.random()
    if kind < 0.75:
        distribution = [0.5, 0.5]
    elif kind < 0.9:
        distribution = [0, 1]
    else:
        distribution = [1 / 3, 1 / 3, 1 / 3]
    variants = len(distribution) - 1
    components: list[dict[str, Json]] = []
    if inline:
        components.append(
            {
                "type": "InlineVariable",
                "key": f"variable{number}",
                "valueType": "String",
                "baseline": {"value": "as it was"},
                "variants": [{"value": f"variant {index + 1}"} for index in range(variants)],
            }
        )
    else:
        for _ in range(2 if rng.random() < 0.15 else 1):
            ids = ["" if rng.random() < 0.03 else contentful_id(rng) for _ in range(variants)]
            components.append(
                {
                    "type": "EntryReplacement",
                    "baseline": {"id": contentful_id(rng)},
                    "variants": [{"id": identifier} for identifier in ids],
                }
            )
    experience = {
        "nt_experience_id": contentful_id(rng),
        "nt_name": f"Experience {number}",
        "nt_type": "nt_experiment" if distribution[0] else "nt_personalization",
        "nt_config": {
            "traffic": 1 if rng.random() < 0.85 else round(rng.uniform(0.1, 0.9), 2),
            "distribution": distribution,
            "sticky": sticky,
            "components": components,
        },
    }
    if audience is not None:
        experience["nt_audience"] = audience
    return experience


# --- rules --------------------------------------------------------------------------------------


class _Rules:
    """Draws rules; knows which of some sample profiles each leaf matches, as the bits of an int."""

    def __init__(
        self,
        rng: random.Random,
        attributes: tuple[Attribute, ...],
        profiles: list[dict[str, Json]],
    ) -> None:
        self._rng = rng
        self._attributes = attributes
        self._searchable = [attribute for attribute in attributes if attribute.needles]
        self._profiles = profiles
        self._everyone = (1 << len(profiles)) - 1

    def make(self, shapes: tuple[Any, ...], rate: float) -> dict[str, Json]:
        """A rule that matches about this share of profiles: the nearest of some drawn at random."""
        drawn = [self._draw(self._rng.choice(shapes)) for _ in range(CANDIDATES)]
        wanted = rate * len(self._profiles)
        rule, _ = min(drawn, key=lambda candidate: abs(candidate[1].bit_count() - wanted))
        return rule

    def _draw(self, shape: Any) -> tuple[dict[str, Json], int]:
        if shape == L:
            leaf = self._leaf()
            prepared = prepare(leaf)
            bits = sum(evaluate(prepared, one) << n for n, one in enumerate(self._profiles))
            return leaf, bits
        kind, *inner = shape
        drawn = [self._draw(one) for one in inner]
        rules = [rule for rule, _ in drawn]
        masks = [bits for _, bits in drawn]
        if kind == "not":
            return {"not": rules[0]}, self._everyone & ~masks[0]
        if kind == "all":
            return {"all": rules}, functools.reduce(int.__and__, masks)
        return {"any": rules}, functools.reduce(int.__or__, masks)

    def _leaf(self) -> dict[str, Json]:
        rng = self._rng
        searching = rng.random() < 0.05
        attribute = rng.choice(self._searchable if searching else self._attributes)
        leaf: dict[str, Json] = {"type": attribute.type, "key": attribute.key}
        if attribute.type == "isReturningVisitor":
            leaf.update(operator="equal", value=rng.random() < 0.5)
        elif searching:
            leaf["operator"] = "startsWith" if rng.random() < 0.4 else "contains"
            leaf["value"] = rng.choice(attribute.needles)
        elif attribute.presence < 1 and rng.random() < 0.07:
            leaf["operator"] = rng.choice(["exists", "exists", "notExists"])
        elif attribute.number:
            leaf["operator"] = rng.choice(
                ["greaterThan", "greaterThanInclusive", "lessThan", "lessThanInclusive"]
            )
            leaf["value"] = attribute.sample(rng)
        elif not attribute.pool:
            leaf.update(operator="equal", value=rng.random() < 0.6)
        else:
            operator = rng.choices(["equal", "notEqual", "in", "notIn"], [55, 12, 28, 5])[0]
            leaf["operator"] = operator
            if operator in {"in", "notIn"}:
                leaf["value"] = sorted({attribute.sample(rng) for _ in range(rng.randint(2, 7))})
            else:
                leaf["value"] = attribute.sample(rng)
        return leaf
