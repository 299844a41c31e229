"""``whichvariant profiles get``: one profile, now or as of an instant."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import orjson

from whichvariant import ProfileNotFound
from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, instant, json_option, lenient_option, load_engine
from whichvariant.cli.profiles.opening import (
    chosen_namespace,
    namespace_options,
    spelled,
    store_option,
    with_store,
)
from whichvariant.cli.terminal import Screen, plural, printable
from whichvariant.cli.visitor_block import VisitorBlocks, visitor_head

if TYPE_CHECKING:
    from whichvariant import Answer, Engine, Namespace
    from whichvariant.profiles.state import ProfileState
    from whichvariant.service.inspection import Whole
    from whichvariant.store import ProfileStore

_LABEL_COLUMNS = 11


@click.command(
    epilog=example(
        "Example:  whichvariant profiles get 39b18bf3e2b9 --at 2026-12-01T00:00Z --store shop.db",
        "Exit codes: 0 found, 1 there is no such profile, 2 usage, unreadable or refused.",
    )
)
@click.argument("key", metavar="ID")
@store_option
@namespace_options
@click.option(
    "--at",
    "at_ms",
    type=instant,
    metavar="TIME",
    help="As it was then, in ISO 8601 or milliseconds since the epoch.  [default: now]",
)
@click.option(
    "--config",
    "configs",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help="Also what this configuration decides for it. Repeat it: documents are merged.",
)
@click.option("--locale", default="en", show_default=True, help="The language of city and country.")
@lenient_option
@json_option
def get(
    *,
    key: str,
    store_path: str,
    organization: str | None,
    environment: str | None,
    at_ms: int | None,
    configs: tuple[str, ...],
    locale: str,
    lenient: bool,
    as_json: bool,
) -> None:
    """Print a profile, now or as of an instant.

    ID may also be a user id, or an id that was merged into the profile. With --config also what is
    decided for it: audiences, experiences and changes; --json is then the API's "data" object. --at
    goes back in time, as far as the profile's history reaches; the configuration stays today's.
    """
    engine = load_engine(configs, lenient=lenient) if configs else None

    async def work(store: ProfileStore) -> _Found:
        from whichvariant.service.inspection import look_up, state_of_whole

        namespace = await chosen_namespace(store, organization, environment)
        whole = await look_up(store, namespace, key)
        state = state_of_whole(whole, at_ms)
        if state is None:
            raise ProfileNotFound("the profile did not exist yet")
        answer = None
        if engine is not None:
            from whichvariant.service import ProfileService

            service = ProfileService(store, {namespace: engine})
            answer = await service.get(namespace, whole.row.id, locale, at=at_ms)
        return _Found(namespace, whole, state, answer, locale)

    try:
        found = with_store(store_path, work)
    except ProfileNotFound as error:
        raise _Missing(f"{key}: {error}") from None
    if as_json:
        print_json(found.to_dict())
    else:
        sys.stdout.write(found.text(engine, at_ms))


class _Missing(click.ClickException):
    """There is no such profile: the command's own no."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        from whichvariant.cli.messages import complain

        complain(self.message)


class _Found:
    """A profile, what is kept beside it, and perhaps what was decided for it."""

    def __init__(
        self,
        namespace: Namespace,
        whole: Whole,
        state: ProfileState,
        answer: Answer | None,
        locale: str,
    ) -> None:
        from whichvariant.profiles.api_profile import localised, profile_object
        from whichvariant.profiles.settings import ProfileSettings

        self._namespace = namespace
        self._whole = whole
        self._state = state
        self._answer = answer
        if answer is not None:
            self._profile = answer.profile
        else:
            self._profile = profile_object(state, ProfileSettings())
            self._profile["location"] = localised(state.location, state, locale)

    def to_dict(self) -> dict[str, Any]:
        """The API's `data`; without a configuration the request that an export's line is."""
        if self._answer is not None:
            return self._answer.to_dict()
        import msgspec

        from whichvariant.service.profile_lines import Stored, iso_text

        row = self._whole.row
        stored = Stored(*self._namespace, self._whole.aliases, iso_text(row.updated_ms))
        line: dict[str, Any] = {"profile": self._profile}
        if self._state.device is not None:
            line["device"] = self._state.device
        return {**line, "stored": msgspec.to_builtins(stored)}

    def text(self, engine: Engine | None, at_ms: int | None) -> str:
        """For a reader."""
        screen = Screen.of()
        if engine is not None and self._answer is not None:
            blocks = VisitorBlocks(engine.configuration, screen)
            selection: dict[str, Any] = {
                "audiences": self._profile["audiences"],
                "experiences": self._answer.experiences,
                "changes": self._answer.changes,
            }
            block = blocks.render(self._profile, self._state.device, selection)
        else:
            block = "\n".join(visitor_head(screen, self._profile, self._state.device))
        lines = [
            screen.clip(f"  {label:<{_LABEL_COLUMNS}}{fact}", screen.width)
            for label, fact in self._facts(at_ms)
        ]
        return "\n".join([block, *lines]) + "\n"

    def _facts(self, at_ms: int | None) -> list[tuple[str, str]]:
        from whichvariant.service.profile_lines import iso_text

        state, row = self._state, self._whole.row
        facts = [("stored", f"{spelled(self._namespace)}, version {row.version}")]
        if state.stable_id != state.id:
            facts.append(("stable id", printable(state.stable_id)))
        facts += [("user id", printable(alias)) for alias in self._whole.aliases]
        facts += [
            ("trait", f"{printable(name)} = {printable(orjson.dumps(value).decode())}")
            for name, value in state.traits.items()
        ]
        facts += [
            ("sticky", f"{printable(name)} = {index}") for name, index in state.sticky.items()
        ]
        if state.session is not None:
            last = state.session.last_ms
            count = plural(state.session.count, "session")
            facts.append(("visits", f"{count}, last event {iso_text(last)}"))
        if at_ms is not None:
            return [*facts, ("as of", str(iso_text(at_ms)))]
        facts.append(("history", plural(state.kept.events, "event")))
        facts.append(("updated", str(iso_text(row.updated_ms))))
        return facts
