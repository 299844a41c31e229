"""``whichvariant serve``: the Experience API over HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.messages import complain
from whichvariant.cli.options import example, json_option
from whichvariant.cli.terminal import plural, printable
from whichvariant.errors import ConfigurationError, SettingsError, WhichVariantError
from whichvariant.server.settings_sources import Setting, all_settings, resolve, unknown_variables

if TYPE_CHECKING:
    from whichvariant.server.settings import ServerSettings
    from whichvariant.server.settings_sources import Resolved
    from whichvariant.sources.catalog import Catalog

_Command = TypeVar("_Command", bound=Callable[..., Any])

_MISSING = "the server's packages are not installed: pip install 'whichvariant[server]'"
_METAVARS: dict[type, str] = {int: "NUMBER", float: "NUMBER"}


def _setting_options(command: _Command) -> _Command:
    """An option for every setting that is no secret: those would show in the list of processes."""
    for setting in reversed(all_settings()):
        if not setting.secret:
            command = _option(setting)(command)
    return command


def _option(setting: Setting) -> Callable[[_Command], _Command]:
    help_text = setting.description
    if setting.default not in ((), None, False, ""):
        help_text += f"  [default: {_spelled(setting.default)}]"
    if setting.kind is bool:
        off = setting.flag.replace("--", "--no-", 1)
        return click.option(f"{setting.flag}/{off}", setting.name, default=None, help=help_text)
    return click.option(
        setting.flag,
        setting.name,
        metavar=_METAVARS.get(setting.kind, "TEXT"),
        multiple=setting.many,
        help=f"{help_text} Repeat it for several." if setting.many else help_text,
    )


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@click.command(
    epilog=example(
        "Example:  whichvariant serve --config space.json",
        "Settings are flags, lines of the --settings file, and variables WHICHVARIANT_NAME;"
        " a flag wins over the file, the file over the environment.",
        "Exit codes: 0 ended by a signal, 1 --check found something, 2 usage or unreadable.",
    )
)
@click.option(
    "--settings",
    "settings_file",
    metavar="FILE",
    envvar="WHICHVARIANT_SETTINGS",
    show_envvar=True,
    type=click.Path(dir_okay=False),
    help="A TOML file with settings by name.",
)
@_setting_options
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Print the settings, where each comes from, and what is configured; then stop.",
)
@json_option
def serve(*, settings_file: str | None, only_check: bool, as_json: bool, **given: Any) -> None:
    """Serve the Experience API over HTTP.

    Creates, updates, reads and deletes profiles, takes batches, and answers with experiences and
    changes, as the hosted API does. Profiles are kept in one file. The API's base URL is the
    server's address; the organization and environment are those of the configuration.
    """
    flags = {name: value for name, value in given.items() if value not in ((), None)}
    resolved = resolve(flags, os.environ, settings_file)
    for name in unknown_variables(os.environ):
        complain(f"{name} is no setting; it is not read")
    if only_check:
        sound = _Check(resolved).show(as_json=as_json)
        raise click.exceptions.Exit(0 if sound else 1)
    if as_json:
        raise click.UsageError("--json goes with --check")
    if not (resolved.settings.config or resolved.settings.delivery):
        raise click.UsageError("there is nothing to serve: say --config")
    _serve(resolved.settings)


def _serve(settings: ServerSettings) -> None:
    if not hasattr(os, "fork"):
        raise SettingsError("serving needs a POSIX system, such as Linux or macOS")
    try:
        from whichvariant.server.serving import serve as listen
    except ImportError as error:
        raise SettingsError(f"{_MISSING} ({error})") from None
    try:
        listen(settings)
    except ConfigurationError as error:
        # Its usual hint is about an option of other commands.
        first = next(one for one in error.findings if one.severity == "error")
        raise SettingsError(
            f"strict: the configuration has errors; the first: {first}"
            " ('whichvariant lint' lists all)"
        ) from None


class _Check:
    """What a server with these settings would begin with."""

    def __init__(self, resolved: Resolved) -> None:
        import asyncio

        self._resolved = resolved
        self._problems: list[str] = []
        self._catalog = asyncio.run(self._load())

    async def _load(self) -> Catalog:
        from whichvariant.server.app import create_app

        app = create_app(self._resolved.settings)
        try:
            await app.load()
        except WhichVariantError as error:
            self._problems.append(str(error))
        catalog = app.catalog
        for entry in catalog.entries():
            if entry.trouble and entry.trouble not in self._problems:
                self._problems.append(f"{'/'.join(entry.namespace)}: {entry.trouble}")
        if not catalog.entries():
            self._problems.append("there is no configuration")
        return catalog

    def show(self, *, as_json: bool) -> bool:
        """Print it. False: there are problems."""
        settings = [
            (setting, self._value(setting), self._resolved.origins[setting.name])
            for setting in all_settings()
        ]
        entries = self._catalog.entries()
        if as_json:
            print_json(
                {
                    "settings": {
                        setting.name: {"value": value, "from": origin}
                        for setting, value, origin in settings
                    },
                    "environments": [
                        {
                            "organization": entry.namespace.organization,
                            "environment": entry.namespace.environment,
                            "source": entry.source,
                            "digest": None if entry.engine is None else entry.engine.digest,
                            "findings": []
                            if entry.engine is None
                            else [str(finding) for finding in entry.engine.findings],
                        }
                        for entry in entries
                    ],
                    "problems": self._problems,
                }
            )
            return not self._problems
        width = max(len(setting.name) for setting, _, _ in settings)
        lines = []
        for setting, value, origin in settings:
            shown = "-" if value in ((), None, "") else _spelled(value)
            lines.append(f"{setting.name:<{width}}  {printable(shown)}  ({printable(origin)})")
        lines.append("")
        for entry in entries:
            name = printable("/".join(entry.namespace))
            if entry.engine is None:
                lines.append(f"{name}  nothing could be loaded")
                continue
            count = len(entry.engine.program.experience_ids)
            findings = plural(len(entry.engine.findings), "finding")
            lines.append(
                f"{name}  {plural(count, 'experience')}, {findings}, {entry.engine.digest}"
                f"  {printable(entry.source)}"
            )
        sys.stdout.write("\n".join(lines) + "\n")
        for problem in self._problems:
            complain(problem)
        return not self._problems

    def _value(self, setting: Setting) -> Any:
        value = getattr(self._resolved.settings, setting.name)
        if setting.name == "store":
            from whichvariant.store.postgres_target import shown

            return shown(value)
        return "(set)" if setting.secret and value else value
