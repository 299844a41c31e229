"""What would this configuration do to the visitors we have? docs/replay.md is the guide.

::

    from whichvariant import Engine
    from whichvariant.replay import replay

    report = replay(Engine.load("live.json"), Engine.load("next.json"), "profiles/")
    report.moved, report.counted, report.to_dict()
"""

from whichvariant.replay.partial import Partial
from whichvariant.replay.plan import Plan
from whichvariant.replay.report import Report
from whichvariant.replay.run import Advance, replay
from whichvariant.replay.sources import Source

__all__ = ["Advance", "Partial", "Plan", "Report", "Source", "replay"]
