"""What the site needs beyond the pages of this folder: pages that lie above it."""

from __future__ import annotations

import pathlib
import re
from typing import Any

from mkdocs.structure.files import File, Files

ABOVE = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Pages of the repository's root that are pages of the site as well."""

_LINK = re.compile(r"(?<=\]\()\.\./(?=(?:CHANGELOG|CONTRIBUTING)\.md)")
_INTO_DOCS = re.compile(r"(?<=\]\()docs/(?=[\w/-]+\.md)")
_ELSEWHERE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)?(?:README\.md|LICENSE|(?:fixtures|examples)/[^)]*)\)"
)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from above."""
    root = pathlib.Path(config.config_file_path).parent
    for name in ABOVE:
        content = (root / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links that are right in the repository, made right on the site.

    What is in the repository alone (the made-up shop, examples) is named there and not linked.
    """
    if page.file.src_uri in ABOVE:
        markdown = _INTO_DOCS.sub("", markdown)
    return _ELSEWHERE.sub(r"\1", _LINK.sub("", markdown))
