"""From a path to what is asked for (reference: "Endpoints")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from whichvariant.contracts.namespace import Namespace
from whichvariant.server.failures import Refused

_LONGEST_PATH = 8_192

# The reference's paths, and those that the newest of the vendor's SDKs ask (docs/server.md).
_VERSIONS = frozenset({("v2", "organizations"), ("v3", "spaces")})

CREATE, PROFILE, UPSERT, IMPORT = "create", "profile", "upsert", "import"
FLAG, FLAGS = "flag", "flags"

NOWHERE = Namespace("", "")
"""The namespace of a path that names none, which only paths of OFREP do not."""

_OFREP = ["ofrep", "v1", "evaluate", "flags"]


class Route(NamedTuple):
    """One of the API's paths. ``kind`` is what its handler is found by."""

    kind: str
    namespace: Namespace
    profile_id: str = ""
    flag: str = ""


def path_below(scope: Mapping[str, Any]) -> list[str]:
    """The parts of a request's path below where the app is mounted, each decoded by itself.

    An encoded slash belongs to its part. Refused if a part is not UTF-8.
    """
    raw: bytes | None = scope.get("raw_path")
    root: str = scope.get("root_path", "")
    if raw is None or b"%" not in raw:
        path: str = scope["path"]
        if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
            path = path[len(root) :]
        if len(path) > _LONGEST_PATH:
            raise Refused(414, "the path is too long")
        return path.split("/")
    if len(raw) > _LONGEST_PATH:
        raise Refused(414, "the path is too long")
    try:
        parts = [unquote_to_bytes(part).decode() for part in raw.split(b"?")[0].split(b"/")]
    except UnicodeDecodeError:
        raise Refused(400, "path: not UTF-8") from None
    above = root.split("/") if root else [""]
    return ["", *parts[len(above) :]] if parts[: len(above)] == above else parts


def match(parts: list[str]) -> Route | None:
    """The endpoint of a path, or None."""
    count = len(parts)
    if count > 4 and (parts[1] == "ofrep" or (count > 9 and parts[6] == "ofrep")):
        return _match_ofrep(parts)
    if not 7 <= count <= 8 or parts[4] != "environments" or (parts[1], parts[2]) not in _VERSIONS:
        return None
    namespace = Namespace(parts[3], parts[5])
    noun = parts[6]
    if count == 7:
        if noun == "profiles":
            return Route(CREATE, namespace)
        return Route(UPSERT, namespace) if noun == "events" else None
    if noun == "profiles":
        return Route(PROFILE, namespace, parts[7]) if parts[7] else None
    return Route(IMPORT, namespace) if noun == "import" and parts[7] == "events" else None


def _match_ofrep(parts: list[str]) -> Route | None:
    """OFREP's paths, below those of an environment or by themselves (docs/openfeature.md#ofrep).

    Keys may have slashes: the published providers put them into the path as they are.
    """
    namespace = NOWHERE
    below = parts[1:]
    if below[0] != "ofrep":
        if parts[4] != "environments" or (parts[1], parts[2]) not in _VERSIONS:
            return None
        namespace = Namespace(parts[3], parts[5])
        below = parts[6:]
    if below[:4] != _OFREP:
        return None
    if len(below) == 4:
        return Route(FLAGS, namespace)
    key = "/".join(below[4:])
    return Route(FLAG, namespace, flag=key) if key else None
