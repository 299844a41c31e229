"""The provider: OpenFeature's interface over `whichvariant.flags` (docs/openfeature.md)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, GeneralError, ParseError
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.hook import Hook
from openfeature.track import TrackingEventDetails

from whichvariant.engine import Engine
from whichvariant.errors import InputError, WhichVariantError
from whichvariant.flags import (
    FlagKind,
    FlagSet,
    Visitor,
    is_plain,
    visitor_of,
    with_dates_as_texts,
)
from whichvariant.openfeature.resolutions import Entry, Resolutions, failed
from whichvariant.openfeature.resolving import ResolvingProvider
from whichvariant.openfeature.tracking import track_event
from whichvariant.sources import Entry as Followed
from whichvariant.sources import Follower

Path = str | os.PathLike[str]
OnTrack = Callable[[str, dict[str, Any]], None]

_NO_ATTRIBUTES: Mapping[str, Any] = {}


class WhichVariantProvider(ResolvingProvider):
    """Flags from a configuration, decided in this process.

    Parameters
    ----------
    source
        An `Engine`; or a path, or several, of a configuration's documents or a compiled program
        (`Engine.load`), which are loaded when the provider is initialised and again when they
        change; or a `Follower` of whatever can be followed, such as Contentful's Delivery API,
        which is opened and closed with the provider.
    strict, locale
        As in `Engine.load`, for paths.
    reload_s
        How often paths are looked at for changes; 0 is never.
    hooks
        The provider's own hooks.
    on_track
        Called with a targeting key and a ``track`` event in the API's shape for everything that
        `track` is told. There is nowhere else that a decision made here could be reported to.

    Examples
    --------
    ::

        from openfeature import api
        from whichvariant.openfeature import WhichVariantProvider

        api.set_provider_and_wait(WhichVariantProvider("space.json"))
        client = api.get_client()
        client.get_string_value("checkout.buttonLabel", "Buy now", EvaluationContext("visitor-1"))
    """

    def __init__(
        self,
        source: Engine | Follower | Path | Sequence[Path],
        *,
        strict: bool = True,
        locale: str | None = None,
        reload_s: float = 2.0,
        hooks: Sequence[Hook] = (),
        on_track: OnTrack | None = None,
    ) -> None:
        super().__init__(hooks)
        self._on_track = on_track
        self._now: Resolutions | None = None
        self._trouble = ""
        self._changing = threading.Lock()
        self._engine: Engine | None = None
        self._follower: Follower | None = None
        self._following = False
        if isinstance(source, Engine):
            self._engine = source
            return
        if not isinstance(source, Follower):
            paths = [source] if isinstance(source, str | os.PathLike) else list(source)
            if not paths:
                raise ValueError("source: no path")
            source = Follower.files(*paths, poll_s=reload_s, strict=strict, locale=locale)
        self._follower = source
        source.subscribe(self._changed)

    @property
    def engine(self) -> Engine | None:
        """The engine that decides now; None before `initialize` and after `shutdown`."""
        resolutions = self._now
        return None if resolutions is None else resolutions.flags.engine

    # ---- life ---------------------------------------------------------------------------------

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Load the configuration, and look for changes from then on.

        Raises
        ------
        ParseError
            The configuration cannot be used. Looking goes on: once it can, the provider is ready.
        GeneralError
            Its files cannot be read. The same holds.
        """
        if self._follower is None:
            assert self._engine is not None
            self._take(self._engine)
            return
        try:
            if self._following:
                self._follower.refresh()
            else:
                self._follower.open()
        except WhichVariantError as error:
            raise GeneralError(str(error)) from error
        # From here on changes are said; those before are in the entry.
        self._following = True
        entry = self._follower.entry
        if entry is None:
            raise GeneralError("there is no configuration to follow")
        self._trouble = entry.trouble
        if entry.engine is not None:
            self._take(entry.engine)
        elif entry.unread:
            raise GeneralError(entry.trouble)
        else:
            raise ParseError(entry.trouble)

    def shutdown(self) -> None:
        """Look for changes no more, and answer no more."""
        self._following = False
        if self._follower is not None:
            self._follower.close()
        with self._changing:
            self._now = None

    def replace(self, engine: Engine) -> None:
        """Let another engine decide from now on, and say which flags changed.

        Nothing is said where it decides everything as the one before.
        """
        with self._changing:
            before = self._now
            was_ill, self._trouble = self._trouble, ""
            if before is not None and before.flags.digest == engine.digest:
                changed = None
            else:
                flags = self._take(engine)
                changed = flags.keys() if before is None else flags.changed_since(before.flags)
        metadata: dict[str, bool | str | int | float] = {"configuration": engine.digest}
        if was_ill or before is None:
            self.emit_provider_ready(ProviderEventDetails(metadata=metadata))
        if changed is not None:
            self.emit_provider_configuration_changed(
                ProviderEventDetails(flags_changed=changed, metadata=metadata)
            )

    def _take(self, engine: Engine) -> FlagSet:
        if self._follower is None:
            # Where somebody shuts it down and initialises it again.
            self._engine = engine
        flags = FlagSet(engine)
        self._now = Resolutions(flags)
        return flags

    def _changed(self, entry: Followed) -> None:
        if not self._following:
            return
        if entry.trouble:
            self._fell_ill(entry.trouble)
        elif entry.engine is not None:
            self.replace(entry.engine)

    def _fell_ill(self, trouble: str) -> None:
        with self._changing:
            known, self._trouble = self._trouble, trouble
            serving = self._now is not None
        if trouble == known:
            return
        if serving:
            # Answers go on, by the last configuration that could be used.
            self.emit_provider_stale(ProviderEventDetails(message=trouble))
        else:
            self.emit_provider_error(
                ProviderEventDetails(message=trouble, error_code=ErrorCode.GENERAL)
            )

    # ---- evaluation ---------------------------------------------------------------------------

    def _resolve(
        self, kind: FlagKind, key: str, default: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        now = self._now
        if now is None:
            return failed(default, ErrorCode.PROVIDER_NOT_READY, self._trouble or "not ready")
        entry = now.entries[kind].get(key) or now.entry(kind, key)
        if entry is None:
            return failed(default, ErrorCode.FLAG_NOT_FOUND, f"flag {key} not found")
        if context is None:
            targeting_key, attributes = None, _NO_ATTRIBUTES
        else:
            targeting_key, attributes = context.targeting_key, context.attributes
        if not targeting_key:
            if entry.draws:
                message = f"{key}: who gets what is drawn by the targeting key"
                return failed(default, ErrorCode.TARGETING_KEY_MISSING, message)
            targeting_key = ""
        try:
            if is_plain(attributes):
                profile = {"stableId": targeting_key, "traits": attributes}
                record = now.first_record(profile, entry.among)
            else:
                record = _decide(now, entry, visitor_of(targeting_key, attributes))
        except (InputError, TypeError):
            # Perhaps only because an attribute is a date, which is what few are.
            try:
                attributes = with_dates_as_texts(attributes)
                record = _decide(now, entry, visitor_of(targeting_key, attributes))
            except InputError as error:
                return failed(default, ErrorCode.INVALID_CONTEXT, str(error))
        answer = entry.answers.get(record)
        if answer is not None:
            return answer
        if record in entry.wrong:
            return failed(default, ErrorCode.TYPE_MISMATCH, entry.wrong[record])
        reason, variant, metadata = entry.defaults[record]
        return FlagResolutionDetails(default, None, None, reason, variant, metadata)

    # ---- tracking -----------------------------------------------------------------------------

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Hand a ``track`` event to ``on_track``; without it, or without a visitor, nothing.

        The details' attributes are the event's properties, their value is the property ``value``.
        ValueError for a name that is no text, or empty.
        """
        event = track_event(tracking_event_name, tracking_event_details)
        key = None if evaluation_context is None else evaluation_context.targeting_key
        if self._on_track is not None and key:
            self._on_track(key, event)


def _decide(now: Resolutions, entry: Entry, visitor: Visitor) -> int:
    return now.first_record(
        visitor.profile, entry.among, device=visitor.device, events=visitor.events
    )
