"""Compiled programs as bytes: msgpack, versioned, protected by a digest.

``[magic, format version, digest, payload]``; the payload is msgpack of the tables and of the
configuration as a native document, so that a program explains itself.
"""

from __future__ import annotations

from typing import Any

import msgpack
import xxhash

from whichvariant.errors import ProgramError

MAGIC = "whichvariant/program"
VERSION = 1


def pack_program(tables: dict[str, Any], native: dict[str, Any], digest: str) -> bytes:
    """The bytes of a program: its tables, its configuration, and the configuration's digest."""
    payload: bytes = msgpack.packb(
        {"tables": tables, "configuration": native, "digest": digest}, use_bin_type=True
    )
    packed: bytes = msgpack.packb([MAGIC, VERSION, _digest(payload), payload], use_bin_type=True)
    return packed


def is_program(data: bytes) -> bool:
    """Whether ``data`` claims to be a compiled program (it may still be damaged)."""
    start = msgpack.packb([MAGIC])
    return len(data) > len(start) and data[0] == 0x94 and data[1 : len(start)] == start[1:]


def unpack_program(data: bytes, source: str = "") -> tuple[dict[str, Any], dict[str, Any], str]:
    """``(tables, native document, configuration digest)`` of a packed program.

    ProgramError when it is damaged, foreign, or of another format version.
    """
    place = f"{source}: " if source else ""
    if not is_program(data):
        raise ProgramError(f"{place}not a compiled program")
    try:
        _, version, digest, payload = _unpack(data)
        if version != VERSION:
            raise ProgramError(
                f"{place}a compiled program of format {version}, this release reads {VERSION}; "
                "compile the configuration again"
            )
        if digest != _digest(payload):
            raise ProgramError(f"{place}the compiled program is damaged: its digest does not match")
        content = _unpack(payload)
        return content["tables"], content["configuration"], str(content["digest"])
    except ProgramError:
        raise
    except Exception as error:  # msgpack raises many kinds for many kinds of damage
        raise ProgramError(f"{place}the compiled program is damaged: {error}") from error


def _unpack(data: bytes) -> Any:
    # No length inside can exceed what is there: msgpack bounds them by the buffer.
    return msgpack.unpackb(data, raw=False, strict_map_key=True)


def _digest(payload: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(payload)
