"""What ``whichvariant --version`` says."""

from __future__ import annotations

import platform
import sys
from typing import Any

from whichvariant import __version__


def version_facts() -> dict[str, Any]:
    """The version, and what of the machine and the build matters to speed and to reports."""
    from whichvariant._core.hashing import build_kind, simd_level, supported_simd_levels

    return {
        "version": __version__,
        "build": build_kind(),
        "simd": simd_level(),
        "simdSupported": list(supported_simd_levels()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{sys.platform} {platform.machine()}",
    }


def version_line() -> str:
    """The same for people, as one line."""
    facts = version_facts()
    return (
        f"whichvariant {facts['version']}, {facts['build']} build, {facts['simd']},"
        f" {facts['python']}, {facts['platform']}"
    )
