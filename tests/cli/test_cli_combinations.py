"""``whichvariant combinations``."""

from __future__ import annotations

import json
import pathlib

import pytest

from whichvariant import Engine

HERO = "heroHome5pT9dmUz1CAAHO"


SHOP = pathlib.Path(__file__).parents[2] / "fixtures" / "storefront"


@pytest.fixture
def space():
    return str(SHOP / "space.json")


def test_json_is_what_the_library_says(run, space):
    profiles = SHOP / "profiles.ndjson"
    result = run(
        "combinations", "--config", space, "--entry", HERO, "--variable", "season",
        "--profiles", profiles, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in profiles.read_text(encoding="utf-8").splitlines()]
    engine = Engine.load(space)
    tables = engine.combinations([HERO], ["season"], profiles=lines)
    assert json.loads(result.stdout) == tables.to_dict()
    assert tables.sample_size == len(lines)


def test_a_page_from_a_file_has_an_order(run, space, tmp_path):
    page = tmp_path / "page.json"
    order = ["homeHeroSeason1pMmm46n", "HomeHero0j48xmtaOEXNhw"]
    page.write_text(json.dumps({"entries": {HERO: order}, "variables": ["season"]}))
    result = run("combinations", "--config", space, "--page", str(page), "--json")
    assert (
        json.loads(result.stdout)
        == Engine.load(space).combinations({HERO: order}, ["season"]).to_dict()
    )
    page.write_text(json.dumps({"entries": [HERO]}))
    listed = run("combinations", "--config", space, "--page", str(page))
    assert listed.stdout == run("combinations", "--config", space, "--entry", HERO).stdout


def test_the_readable_form_without_a_sample(run, space):
    result = run(
        "combinations", "--config", space, "--entry", "checkoutForm3IPYjGz2ty",
        "--at-least", "0.0001",
    )  # fmt: skip
    assert result.stdout == (
        "3 combinations · 2 patterns of audiences\n"
        "\n"
        "AAAAAAAAAAAA  up to 100.000 %  as it is\n"
        "BUUPp8u_3HXr  up to 30.000 %  checkoutForm3IPYjGz2ty → checkoutAccordion8G8YL\n"
        "K4BKWfW1Y-vB  up to 30.000 %  checkoutForm3IPYjGz2ty → checkoutOnePage4O5qnE2\n"
    )


def test_profiles_that_cannot_be_read_are_counted(run, space, tmp_path):
    path = tmp_path / "profiles.ndjson"
    path.write_text('{"stableId": "1"}\n{"stableId": 2}\n')
    result = run("combinations", "--config", space, "--entry", HERO, "--profiles", str(path))
    assert result.exit_code == 1
    assert "shares from 1 profile\n" in result.stdout
    assert result.stderr.startswith(
        "whichvariant: 1 profile could not be read; the first, record 2:"
    )


def test_what_is_refused(run, space, tmp_path):
    assert run("combinations", "--config", space).exit_code == 2
    too_many = run("combinations", "--config", space, "--entry", HERO, "--limit", "2")
    assert too_many.exit_code == 2
    assert "more than 2" in too_many.stderr
    page = tmp_path / "page.json"
    for text in ("[", "[]", '{"entry": 1}', '{"entries": {"a": "b"}}', '{"variables": [1]}'):
        page.write_text(text)
        result = run("combinations", "--config", space, "--page", str(page))
        assert result.exit_code == 2, text
        assert str(page) in result.stderr
