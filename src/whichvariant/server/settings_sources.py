"""Where settings come from: environment, a TOML file, flags, each over the one before."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from whichvariant.errors import SettingsError
from whichvariant.server.settings import ServerSettings

PREFIX = "WHICHVARIANT_"

# What begins like a setting in the environment and is none: other parts of the package read it.
_OTHERS = frozenset({"SETTINGS", "SIMD", "SERVING", "WORKERS_FOLDER", "MAIN_PROCESS", "BUILD"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as people see it."""

    name: str
    kind: type
    many: bool
    default: Any
    description: str
    secret: bool

    @property
    def flag(self) -> str:
        """As an option of ``whichvariant serve``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"{PREFIX}{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and where each came from: "default", a variable, a file, or a flag."""

    settings: ServerSettings
    origins: Mapping[str, str]


def all_settings() -> list[Setting]:
    """Every setting, in the order of their declaration."""
    return [_setting(field) for field in msgspec.structs.fields(ServerSettings)]


def _setting(field: msgspec.structs.FieldInfo) -> Setting:
    hint = field.type
    description, secret = "", False
    if typing.get_origin(hint) is typing.Annotated:
        hint, *metas = typing.get_args(hint)
        for meta in metas:
            if isinstance(meta, msgspec.Meta):
                description = meta.description or description
                secret = secret or bool((meta.extra or {}).get("secret"))
    many = typing.get_origin(hint) is tuple
    if typing.get_origin(hint) is types.UnionType:
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    kind = hint if isinstance(hint, type) else str
    return Setting(field.name, kind, many, field.default, description, secret)


def resolve(
    flags: Mapping[str, Any], environ: Mapping[str, str], path: str | None = None
) -> Resolved:
    """Settings from everywhere.

    Parameters
    ----------
    flags
        Values by name; texts are read as what the setting is.
    environ
        Variables ``WHICHVARIANT_NAME``; several values of one setting are separated by commas.
    path
        A TOML file with settings by name. By default ``WHICHVARIANT_SETTINGS``, if that is there.

    Raises
    ------
    SettingsError
        Names the setting and where its value came from.
    """
    values: dict[str, Any] = {}
    origins = {setting.name: "default" for setting in all_settings()}

    def take(name: str, value: Any, origin: str) -> None:
        values[name] = value
        origins[name] = origin

    known = {setting.variable: setting for setting in all_settings()}
    for variable, text in environ.items():
        setting = known.get(variable)
        if setting is not None:
            value = _parts(text) if setting.many else text
            if text or setting.many:
                take(setting.name, value, variable)
    path = path or environ.get(f"{PREFIX}SETTINGS")
    if path:
        for name, value in _read(path).items():
            if name not in origins:
                raise SettingsError(f"{path}: {name}: there is no such setting")
            take(name, value, path)
    names = {setting.name: setting.flag for setting in all_settings()}
    for name, value in flags.items():
        take(name, value, names[name])
    return Resolved(_convert(values, origins), origins)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none: most likely misspelt."""
    known = {setting.variable for setting in all_settings()}
    others = {PREFIX + name for name in _OTHERS}
    return sorted(
        name
        for name in environ
        if name.startswith(PREFIX) and name not in known and name not in others
    )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None


def _convert(values: Mapping[str, Any], origins: Mapping[str, str]) -> ServerSettings:
    # One by one first, for a message that names the value's origin.
    for name, value in values.items():
        try:
            msgspec.convert({name: value}, ServerSettings, strict=False)
        except msgspec.ValidationError as error:
            message = str(error).partition(" - at ")[0].replace("`", "")
            lowered = message[:1].lower() + message[1:]
            raise SettingsError(f"{name}: {lowered} (from {origins[name]})") from None
    return msgspec.convert(dict(values), ServerSettings, strict=False)
