"""A Stack Exchange dump: Posts.xml, a row a line -> one document for each question with its best answers.

A row is parsed by itself, so a broken one costs itself alone. An answer may stand anywhere behind its question:
both wait in files, cut by question, so that memory holds one file's posts whatever the size of the dump.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson

from hornbook.core.records import Document, Drop
from hornbook.stages.read.records import find_record_files, sound_lines
from hornbook.stages.read.source import Bounds, Candidate, Posts, Source, quarantined, sieved
from hornbook.stages.read.walk import Found, Line

PART_BYTES = 64 << 20
"""Posts wait in files of about this size."""
_TAG = re.compile(r"[^<>|]+")
_FRAME = re.compile(rb"\s*(?:\xef\xbb\xbf)?<(?:\?xml|/?posts\b)")
QUESTION, ANSWER = "1", "2"
Post = dict[str, str]


def find_posts(source: Source) -> Iterator[Found]:
    return find_record_files(source, ("Posts.xml", "Posts.xml.gz", "Posts.xml.zst"))


def read_posts(candidates: Sequence[Candidate], bounds: Bounds, work: Path) -> Iterator[Document | Drop]:
    return chain.from_iterable(_dump(candidate, bounds, work) for candidate in candidates)


def _dump(candidate: Candidate, bounds: Bounds, work: Path) -> Iterator[Document | Drop]:
    parts = _Parts(work, 1 + candidate.found.size_bytes // PART_BYTES)
    try:
        for line in sound_lines(candidate, bounds):
            post = line if isinstance(line, Drop) else _post(candidate, line)
            if isinstance(post, Drop):
                yield post
            elif post and _is_wanted(post, candidate.source.posts):
                parts.add(int(post["Id"] if post["PostTypeId"] == QUESTION else post["ParentId"]), post)
        for posts in parts:
            yield from _questions(candidate, posts, bounds)
    finally:
        parts.remove()


def _post(candidate: Candidate, line: Line) -> Post | Drop | None:
    """The attributes of a row; None for what is neither question nor answer."""
    if _FRAME.match(line.data):
        return None
    try:
        if not line.data.lstrip().startswith(b"<row"):
            raise ValueError("no <row")
        post: Post = dict(ElementTree.fromstring(line.data).attrib)
        if post["PostTypeId"] not in (QUESTION, ANSWER):
            return None
        needed = ("Id", "Score") if post["PostTypeId"] == QUESTION else ("Id", "Score", "ParentId")
        for name in needed:
            int(post[name])
        date.fromisoformat(post["CreationDate"][:10])
        post["Body"]
    except KeyError as error:
        why = ("broken_row", f"line {line.number}: no attribute {error.args[0]}")
    except (ElementTree.ParseError, ValueError) as error:
        why = ("broken_row", f"line {line.number}: {error}")
    else:
        return post
    return quarantined(candidate, f"{candidate.found.name}:{line.number}", line.data, why)


def _is_wanted(post: Post, posts: Posts) -> bool:
    score = int(post["Score"])
    if post["PostTypeId"] == ANSWER:
        return score >= posts.min_answer_score
    day = date.fromisoformat(post["CreationDate"][:10])
    in_time = (posts.since or day) <= day <= (posts.until or day)
    return (
        score >= posts.min_score
        and in_time
        and (not posts.tags or not set(posts.tags).isdisjoint(_tags(post)))
    )


def _tags(post: Post) -> list[str]:
    """Both spellings of the dumps: <python><list> and |python|list|."""
    return _TAG.findall(post.get("Tags", ""))


class _Parts:
    """Posts in compressed files, all of one question in one file; iterating gives a file's posts at a time."""

    def __init__(self, work: Path, count: int) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.paths = [work / f"posts-{number:04d}" for number in range(count)]
        self.waiting: list[list[bytes]] = [[] for _ in self.paths]
        self.remove()

    def add(self, question: int, post: Post) -> None:
        number = zlib.crc32(str(question).encode()) % len(self.paths)
        self.waiting[number].append(orjson.dumps(post))
        if len(self.waiting[number]) >= 256:
            self._write(number)

    def _write(self, number: int) -> None:
        with self.paths[number].open("ab") as file:
            file.write(b"".join(row + b"\n" for row in self.waiting[number]))
        self.waiting[number] = []

    def __iter__(self) -> Iterator[Iterator[Post]]:
        for number, path in enumerate(self.paths):
            self._write(number)
            with path.open("rb") as file:
                yield map(orjson.loads, file)

    def remove(self) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)


def _questions(candidate: Candidate, posts: Iterator[Post], bounds: Bounds) -> Iterator[Document | Drop]:
    """The questions among these posts that have an answer left, in order of their number."""
    questions: dict[int, Post] = {}
    answers: dict[int, list[Post]] = defaultdict(list)
    for post in posts:
        if post["PostTypeId"] == QUESTION:
            questions[int(post["Id"])] = post
        else:
            answers[int(post["ParentId"])].append(post)
    for number, question in sorted(questions.items()):
        chosen = _chosen(question, answers[number], candidate.source.posts)
        if chosen:
            yield _document(candidate, question, chosen, bounds)


def _chosen(question: Post, answers: list[Post], posts: Posts) -> list[Post]:
    accepted = question.get("AcceptedAnswerId", "")
    if posts.answers == "accepted":
        return [answer for answer in answers if answer["Id"] == accepted]
    first = posts.answers == "accepted-first"
    ranked = sorted(answers, key=lambda a: (first and a["Id"] != accepted, -int(a["Score"]), int(a["Id"])))
    return ranked[: posts.max_answers]


def _document(candidate: Candidate, question: Post, answers: list[Post], bounds: Bounds) -> Document | Drop:
    parts = [f"# {question.get('Title', '').strip()}", to_text(question["Body"]).rstrip("\n")]
    for answer in answers:
        parts += ["## Answer", to_text(answer["Body"]).rstrip("\n")]
    meta: dict[str, Any] = {
        "licence": question.get("ContentLicense", ""),
        "score": int(question["Score"]),
        "tags": _tags(question),
        "date": question["CreationDate"][:10],
        "answers": [int(answer["Id"]) for answer in answers],
        "answer_scores": [int(answer["Score"]) for answer in answers],
        "accepted": question.get("AcceptedAnswerId") in [answer["Id"] for answer in answers],
    }
    text = "\n\n".join(part for part in parts if part) + "\n"
    return sieved(Document(text, f"{candidate.found.name}:{question['Id']}", "qa", meta), bounds)


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
