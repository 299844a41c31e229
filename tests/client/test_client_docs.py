"""docs/client.md: what it lists is what there is, and its code is code."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
from typing import Any, get_args

import pytest
from tests.conftest import REPOSITORY
from tests.server.running import STOREFRONT, Served

from whichvariant import errors
from whichvariant.client import (
    AsyncExperienceClient,
    EventOptions,
    ExperienceClient,
    Policy,
    Preflight,
    RetryPolicy,
)

PAGE = (REPOSITORY / "docs" / "client.md").read_text()
README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def test_every_method_is_listed_and_both_clients_have_it() -> None:
    listed = set(re.findall(r"^\| `(\w+)\(", PAGE, re.M))
    for kind, closing in ((ExperienceClient, {"close"}), (AsyncExperienceClient, {"aclose"})):
        methods = {name for name, _ in inspect.getmembers(kind, inspect.isfunction)}
        assert {name for name in methods if not name.startswith("_")} - closing == listed
    for name in listed:
        ours = inspect.signature(getattr(ExperienceClient, name))
        assert ours == inspect.signature(getattr(AsyncExperienceClient, name))


def test_every_option_policy_and_field_is_listed() -> None:
    rows = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.M))
    assert EventOptions.__annotations__.keys() <= rows
    assert set(get_args(Policy)) <= rows
    fields = {field.name for field in dataclasses.fields(RetryPolicy)}
    assert fields - rows == {"longest_delay_s"}
    assert "`longest_delay_s`" in PAGE
    for name in inspect.signature(Preflight).parameters:
        assert name in {"local", "remote", "settings"} or f"`{name}`" in PAGE or name == "policy"


def test_every_error_is_listed() -> None:
    def kinds(kind: type[Any]) -> set[str]:
        return {kind.__name__}.union(*(kinds(each) for each in kind.__subclasses__()))

    listed = set(re.findall(r"^\| `((?:Api|Invalid)\w+)` \|", PAGE, re.M))
    assert listed == kinds(errors.ClientError) - {"ClientError"}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_is_code(number: int) -> None:
    compile(BLOCKS[number], f"block {number}", "exec")


def test_the_first_examples_run(
    server: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def here(block: str) -> str:
        return block.replace('"my-organization", "main"', f'"default", base_url="{server.url}"')

    space: dict[str, Any] = {}
    exec(here(BLOCKS[0]), space)
    assert len(capsys.readouterr().out.splitlines()) == len(space["answer"].experiences)
    block = BLOCKS[1].replace("my-organization", "default")
    exec(block.replace("http://127.0.0.1:8000", server.url), space)
    assert asyncio.run(space["plan_of"](space["answer"].profile.id)) is None

    # The README's.
    monkeypatch.chdir(STOREFRONT.parent)
    (block,) = (one for one in re.findall(r"```python\n(.*?)```", README, re.S) if "client" in one)
    scope = {"type": "http", "path": "/", "server": ("shop.example", 80)}
    request = type("Request", (), {"scope": scope})()
    space = {"request": request, "visitor_id": None}
    exec(here(block), space)
    assert space["answer"].decided_by == "local"
