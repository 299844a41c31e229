"""What both providers are: a name, hooks, and one way to resolve a flag of any kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata

from whichvariant.flags import FlagKind
from whichvariant.openfeature.tracking import NAME


class ResolvingProvider(AbstractProvider):
    """The SDK's five methods over the one that a provider is about."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        super().__init__()
        self._hooks = list(hooks)
        self._metadata = Metadata(name=NAME)

    def get_metadata(self) -> Metadata:
        """Its name."""
        return self._metadata

    def get_provider_hooks(self) -> list[Hook]:
        """The hooks it was made with."""
        return self._hooks

    @abstractmethod
    def _resolve(
        self, kind: FlagKind, key: str, default: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        """A flag as one kind of value. Errors are told in the answer, never raised."""

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """A boolean inline variable."""
        return self._resolve("boolean", flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """A text; of an experience's id the variant: ``baseline``, ``variant-1``, … ."""
        return self._resolve("string", flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """A whole number; of an experience's id the variant's index."""
        return self._resolve("integer", flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """A number."""
        return self._resolve("float", flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Any,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        """An object or list, shared and read-only; of an experience's id which entry shows."""
        return self._resolve("object", flag_key, default_value, evaluation_context)
