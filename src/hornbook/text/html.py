"""HTML as written in posts -> plain text that keeps its code: blocks between fences, words in backticks."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
BLOCKS = frozenset({"p", "div", "ul", "ol", "blockquote", "table", "tr", "hr", *HEADINGS})
FENCE = "```"
_BLANKS = re.compile(r"[ \t\r\n\f]+")


def to_text(html: str) -> str:
    """The text of a post: paragraphs apart, list items with a dash, code exactly as it was."""
    writer = _Writer()
    writer.feed(html)
    writer.close()
    return writer.text()


class _Writer(HTMLParser):
    """Collects blocks of text; a block is prose whose blanks may be joined, or code whose may not."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self.line: list[str] = []
        self.code: list[str] | None = None
        self.hidden = 0
        self.is_item = False

    def text(self) -> str:
        self._end_block()
        self._end_code()
        return "\n\n".join(self.blocks) + "\n" * bool(self.blocks)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self.hidden += 1
        elif tag == "pre":
            self._end_block()
            self._end_code()
            self.code = []
        elif tag == "code" and self.code is None:
            self.line.append("`")
        elif tag == "br":
            self.line.append("\n")
        elif tag in BLOCKS and self.code is None:
            self._end_block()
        elif tag == "li" and self.code is None:
            self._end_block()
            self.is_item = True
        if tag in HEADINGS and self.code is None:
            self.line.append(HEADINGS[tag])

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.hidden = max(self.hidden - 1, 0)
        elif tag == "pre":
            self._end_code()
        elif tag == "code" and self.code is None:
            self.line.append("`")
        elif (tag in BLOCKS or tag == "li") and self.code is None:
            self._end_block()

    def handle_data(self, data: str) -> None:
        if self.hidden:
            return
        if self.code is not None:
            self.code.append(data)
        else:
            self.line.append(_BLANKS.sub(" ", data))

    def _end_block(self) -> None:
        lines = "".join(self.line).split("\n")
        self.line = []
        joined = "\n".join(_BLANKS.sub(" ", line).strip() for line in lines).strip("\n")
        if not joined.strip("#` \n"):
            return
        if self.is_item and self.blocks and self.blocks[-1].startswith("- "):
            self.blocks[-1] += f"\n- {joined}"
        else:
            self.blocks.append("- " * self.is_item + joined)
        self.is_item = False

    def _end_code(self) -> None:
        code = "".join(self.code or ()).replace("\r\n", "\n").strip("\n")
        self.code = None
        if code.strip():
            fence = FENCE + "`" * max((len(run) - 2 for run in re.findall("`{3,}", code)), default=0)
            self.blocks.append(f"{fence}\n{code.rstrip()}\n{fence}")
