"""The kind of device a user agent stands for, for rules of type ``device`` (docs/profiles.md).

The vendor names four kinds (SEMANTICS 3) and not how it tells them apart: everything here that goes
beyond those four names is [policy]. ``ua-parser`` reads the operating system and the device out of
the user agent; the rules that turn them into a kind are `_kind_of`, in order.

User agents come from visitors and may be hostile. No pattern here or in the library's Rust engine
backtracks, no more than `LONGEST_USER_AGENT` characters are looked at, and the cache is bounded in
entries and in the length of each.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from ua_parser.core import Resolver

__all__ = ["LONGEST_USER_AGENT", "DeviceKind", "device_of"]

DeviceKind = Literal["desktop", "mobile", "tablet", "unknown"]

#: Characters of a user agent that are looked at; browsers send 100 to 250, apps around them up to
#: 600. Beyond 1,900 the library's engine changes to a method a hundred times slower.
LONGEST_USER_AGENT: Final = 1024

#: At most 16 MiB, if every entry is of the longest and outside the BMP; usually about 1 MiB.
_CACHE_ENTRIES: Final = 4096

#: Screens and machines that pass for a phone, a tablet or a computer by their operating system:
#: televisions and what is plugged into them, consoles, watches, cars, smart displays, headsets.
_NEITHER: Final = re.compile(
    r"TV|Tv[AB]?\b|NetCast|CE-HTML|Web0S|BRAVIA|VIERA|Viera|MIBOX|CrKey|Roku|TiVo|Smart Box"
    r"|\bAFT[A-Z]|\bAEO[A-Z]|X[Bb][Oo][Xx]|Nintendo|P(?:lay[Ss]tation|LAYSTATION)"
    r"|OculusBrowser|PicoBrowser|\bQuest \d|\bVR Safari"
    r"|watchOS|Apple Watch|\bSM-R[0-9]|Tesla/|QtCarBrowser|Android Automotive"
)

#: What tablets are called. "Tablet PC" is what Internet Explorer adds on every Windows that could
#: take a pen. KF are Amazon's, SM-P, SM-T and SM-X Samsung's, which may say "Mobile" all the same.
_TABLET: Final = re.compile(
    r"\bTablet\b(?! PC)|\bTABLET\b|\bhp-tablet\b|\bT(?:ab|AB)\b|(?:\b|[a-z])P(?:ad|AD)\b|/apad\b"
    r"|\bKF[A-Z]{3,6}\b|\bSM-[PTX][0-9]{3}"
)

_TABLET_SYSTEMS: Final = frozenset({"BlackBerry Tablet OS", "Kindle"})
_TABLET_DEVICES: Final = ("Kindle", "HP TouchPad", "Microsoft Surface RT", "Generic Tablet")

_MOBILE_SYSTEMS: Final = frozenset(
    {
        "BREW",
        "Bada",
        "BlackBerry OS",
        "Brew MP",
        "KaiOS",
        "Maemo",
        "MeeGo",
        "Nokia Series 30 Plus",
        "Nokia Series 40",
        "Sailfish",
        "Symbian OS",
        "Symbian^3",
        "Symbian^3 Anna",
        "Symbian^3 Belle",
        "Windows Mobile",
        "Windows Phone",
        "webOS",
    }
)
_MOBILE_DEVICES: Final = frozenset({"Generic Smartphone", "Generic Feature Phone"})

_DESKTOP_SYSTEMS: Final = frozenset(
    {
        "Arch Linux",
        "BSD",
        "BackTrack",
        "CentOS",
        "Chrome OS",
        "Debian",
        "Fedora",
        "FreeBSD",
        "Gentoo",
        "Kubuntu",
        "Linux",
        "Linux Mint",
        "Lubuntu",
        "Mac OS",
        "Mac OS X",
        "Mageia",
        "Mandriva",
        "NetBSD",
        "OpenBSD",
        "PCLinuxOS",
        "Puppy",
        "Red Hat",
        "SUSE",
        "SerenityOS",
        "Slackware",
        "Solaris",
        "Ubuntu",
        "Windows",
        "openSUSE",
    }
)

_resolver: Resolver | None = None
_resolver_lock = threading.Lock()


def device_of(user_agent: str | None) -> DeviceKind | None:
    """The kind of device that sent ``user_agent``; None when there is none.

    None leaves the attribute missing, as rules understand it. ``unknown`` is a user agent that
    tells no kind, also an empty one: a program that is no browser, a crawler that imitates none,
    a television, a console.

    The first call in a process loads the library, which takes about 0.1 s and 25 MB. Whoever
    cannot have that inside a request calls this once before. Safe to call from any thread.

    Never raises for any text. Only the first `LONGEST_USER_AGENT` characters count.
    """
    if user_agent is None:
        return None
    # Before the cache, so that it never holds on to more than this of any text.
    if len(user_agent) > LONGEST_USER_AGENT:
        user_agent = user_agent[:LONGEST_USER_AGENT]
    return _kind_of(user_agent)


@lru_cache(maxsize=_CACHE_ENTRIES)
def _kind_of(user_agent: str) -> DeviceKind:
    """The rules, first match wins. All of them are [policy]."""
    system, device = _system_and_device(user_agent)
    browser = "Mozilla/" in user_agent or "Opera/" in user_agent

    # Before everything else: apps on them may have any name, such as "Some TV".
    if "iPad" in user_agent:
        return "tablet"
    if "iPhone" in user_agent or "iPod" in user_agent:
        return "mobile"

    if _NEITHER.search(user_agent) or system.startswith("Chromecast"):
        return "unknown"

    if "Chromebook" in user_agent or "(PC; OpenHarmony" in user_agent:
        return "desktop"

    if (
        system in _TABLET_SYSTEMS
        or device.startswith(_TABLET_DEVICES)
        or (system not in _DESKTOP_SYSTEMS and _TABLET.search(user_agent))
    ):
        return "tablet"

    # "Mobi" is what Mozilla's documentation advises to look for; it finds Opera Mobi as well.
    if (
        system in _MOBILE_SYSTEMS
        or (device in _MOBILE_DEVICES and system not in _DESKTOP_SYSTEMS)
        or "Mobi" in user_agent
        or "MIDP" in user_agent
    ):
        return "mobile"

    if not browser:
        # Without a browser's conventions the absence of "Mobile" says nothing, and the name of a
        # system stands for a server as often as for a desk.
        return "unknown"
    if system == "Android":
        # Google's rule for Android: phones say "Mobile", tablets do not.
        return "tablet"
    return "desktop" if system in _DESKTOP_SYSTEMS else "unknown"


def _system_and_device(user_agent: str) -> tuple[str, str]:
    """The families of operating system and device, as the library names them, empty if none."""
    from ua_parser import Domain

    # Every token that tells a device is ASCII; lone surrogates would not reach the library at all.
    if not user_agent.isascii():
        user_agent = user_agent.encode("ascii", "replace").decode("ascii")
    parsed = _load_resolver()(user_agent, Domain.OS | Domain.DEVICE)
    return (
        parsed.os.family if parsed.os else "",
        parsed.device.family if parsed.device else "",
    )


def _load_resolver() -> Resolver:
    """The library's patterns in its Rust engine; built by the first caller, the others wait."""
    global _resolver  # noqa: PLW0603  # a cache of one, and the lock needs a place outside as well
    if _resolver is None:
        with _resolver_lock:
            if _resolver is None:
                # By name and not the best available: the others backtrack in Python's `re`.
                from ua_parser.loaders import load_lazy_builtins
                from ua_parser.regex import Resolver as RustResolver

                _, systems, devices = load_lazy_builtins()
                # No patterns for browsers, which nobody asks for here: half the memory.
                _resolver = RustResolver(([], systems, devices))
    return _resolver
