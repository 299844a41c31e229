"""When a request is sent again (docs/client.md#retries)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from whichvariant.errors import ApiError, ApiTimeout, ApiUnavailable, ClientError

Repeatable: TypeAlias = Literal["always", "refused", "never"]
"""Whether a request may be sent twice.

"always": carried out twice it does what it does once. "refused": only if the first one was surely
not carried out. "never": not even then, since nothing in it tells the second from another request.
"""

_LONGEST_DELAY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a request is sent again. The defaults are the rule of the vendor's SDKs.

    That is: 503, once, at once, and nothing else. (Their code looks at the first answer again
    instead of sending anything; here it is sent.)

    Parameters
    ----------
    retries
        How many times more, at most.
    statuses
        Statuses that say that a request was not carried out and may be sent again.
    delay_s
        How long to wait before each.
    retry_after
        Wait as long as the answer's `Retry-After` asks, if that is longer.
    longest_delay_s
        Where an answer asks for more than that, give up at once.
    lost_connections
        Send again also what got no answer: no connection, a lost one, no answer in time. Only
        where nothing can happen twice: a profile is not created again after a request that may
        have reached the server.
    """

    retries: int = 1
    statuses: frozenset[int] = frozenset({503})
    delay_s: float = 0.0
    retry_after: bool = False
    longest_delay_s: float = 5.0
    lost_connections: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.retries <= 100:
            raise ValueError("retries must be 0 to 100")
        if not 0 <= self.delay_s <= _LONGEST_DELAY_S:
            raise ValueError(f"delay_s must be 0 to {_LONGEST_DELAY_S:g}")
        if not 0 <= self.longest_delay_s <= _LONGEST_DELAY_S:
            raise ValueError(f"longest_delay_s must be 0 to {_LONGEST_DELAY_S:g}")

    def pause_s(self, error: ClientError, repeatable: Repeatable, tried: int) -> float | None:
        """How long to wait before sending again what failed with ``error``; None: not again.

        ``tried`` is how often it was sent so far.
        """
        if tried > self.retries or repeatable == "never":
            return None
        asked_s: float | None = None
        if isinstance(error, ApiError | ApiUnavailable) and error.status is not None:
            if error.status not in self.statuses:
                return None
            asked_s = error.retry_after_s
        elif isinstance(error, ApiTimeout | ApiUnavailable):
            if not self.lost_connections or (error.sent and repeatable != "always"):
                return None
        else:
            return None
        if not self.retry_after or asked_s is None:
            return self.delay_s
        return None if asked_s > self.longest_delay_s else max(asked_s, self.delay_s)


NO_RETRIES = RetryPolicy(retries=0)
"""Everything is sent once."""
