"""The report of a replay as one HTML page that needs nothing else.

::

    from whichvariant.replay.page import render

    Path("report.html").write_text(render(report.to_dict()), encoding="utf-8")
"""

from whichvariant.replay.page.document import render

__all__ = ["render"]
