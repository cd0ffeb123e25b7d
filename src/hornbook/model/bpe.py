"""hornbook's own BPE at tens of megabytes a second: text is cut by numpy, and each different piece is merged once.

BPE never merges across the pieces that `LINE_PATTERN` cuts, so the ids of a text are the ids of its pieces in a
row. Cutting ASCII by that pattern needs only the class of each byte and of its neighbours' runs. What is not ASCII
is left whole, with what is near it, to the tokenizers library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from hornbook.text.hashes import Hashes, Positions, batches, span_hashes

Ids = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
BATCH_CHARS = 1 << 19
"""Texts are cut in batches of about this size, whose arrays stay in the processor's cache."""
SLOT_BITS = 20
MEMO_IDS = 1 << 20
"""With more ids than this remembered, all are forgotten: memory stays bounded."""
LETTER, BLANK, MARK, DIGIT, NEWLINE, END = range(6)
_END_BYTE = b"\xff"
"""Stands between texts; UTF-8 never holds it."""


def _class_of(byte: int) -> int:
    character = chr(byte)
    if byte == _END_BYTE[0]:
        return END
    if character.isascii() and character.isalpha():
        return LETTER
    if character in "0123456789":
        return DIGIT
    return NEWLINE if character in "\r\n" else BLANK if character in " \t\v\f" else MARK


_CLASSES = bytes(map(_class_of, range(256)))


class PieceEncoder:
    """The ids of many texts at once; `merge` gives those of texts that are not remembered."""

    def __init__(self, merge: Callable[[list[str]], list[list[int]]]) -> None:
        self.merge = merge
        self.hashes: Hashes
        self.known: dict[int, int]
        self.begins: Positions
        self.counts: Positions
        self.ids: Ids
        self.slots: Positions
        self._forget()

    def encode(self, texts: Sequence[str]) -> Iterator[Ids]:
        """The ids of each text, in order."""
        for batch in batches(texts, BATCH_CHARS):
            yield from self._encode(batch)

    def _encode(self, texts: Sequence[str]) -> Iterator[Ids]:
        data = _END_BYTE.join([*(text.encode("utf-8", "surrogatepass") for text in texts), b""])
        starts = cut(data)
        ends = np.append(starts[1:], len(data))
        places = self._places(data, starts, ends)
        counts = self.counts[places]
        after = np.cumsum(counts)
        ids = self.ids[np.arange(after[-1]) + np.repeat(self.begins[places] - after + counts, counts)]
        text_ends = np.flatnonzero(np.frombuffer(data, np.uint8)[starts] == _END_BYTE[0])
        return iter(np.split(ids, after[text_ends])[:-1])

    def _places(self, data: bytes, starts: Positions, ends: Positions) -> Positions:
        """Where the ids of each piece are remembered; those of new pieces are merged first."""
        if len(self.ids) > MEMO_IDS:
            self._forget()
        hashes = span_hashes(data, starts, ends)
        places = self.slots[(hashes >> np.uint64(64 - SLOT_BITS)).astype(np.int64)]
        others = np.flatnonzero(self.hashes[places] != hashes)
        kinds, firsts, inverse = np.unique(hashes[others], return_index=True, return_inverse=True)
        new = [i for i, hash_ in enumerate(kinds.tolist()) if hash_ not in self.known]
        first = others[firsts[new]]
        pieces = [
            data[i:j].decode("utf-8", "surrogatepass")
            for i, j in zip(starts[first].tolist(), ends[first].tolist(), strict=True)
        ]
        self._remember(kinds[new], pieces)
        places[others] = np.array([self.known[hash_] for hash_ in kinds.tolist()], np.int64)[inverse]
        return places

    def _remember(self, hashes: Hashes, pieces: list[str]) -> None:
        merged = self.merge(pieces) if pieces else []
        counts = np.array([len(ids) for ids in merged], np.int64)
        begins = len(self.ids) + np.cumsum(counts) - counts
        places = np.arange(len(self.hashes), len(self.hashes) + len(hashes))
        self.known.update(zip(hashes.tolist(), places.tolist(), strict=True))
        self.ids = np.concatenate([self.ids, np.fromiter(chain.from_iterable(merged), np.uint32)])
        self.hashes = np.concatenate([self.hashes, hashes])
        self.begins = np.concatenate([self.begins, begins])
        self.counts = np.concatenate([self.counts, counts])
        slots = (hashes >> np.uint64(64 - SLOT_BITS)).astype(np.int64)
        free = self.slots[slots] == 0
        self.slots[slots[free]] = places[free]

    def _forget(self) -> None:
        """Remember the end of a text alone: no ids."""
        end = span_hashes(_END_BYTE, np.array([0]), np.array([1]))
        self.hashes, self.known = end, {int(end[0]): 0}
        self.begins, self.counts = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.ids = np.zeros(0, np.uint32)
        self.slots = np.zeros(1 << SLOT_BITS, np.int64)


def cut(data: bytes) -> Positions:
    """Where the pieces of `LINE_PATTERN` begin in texts that an END byte follows each; END is a piece."""
    classes = np.frombuffer(data.translate(_CLASSES), np.uint8)
    begins = np.flatnonzero(np.concatenate(([True], classes[1:] != classes[:-1])) | (classes >= DIGIT))
    kinds = classes[begins]
    is_start = np.zeros(len(data) + 1, bool)
    is_start[begins] = True
    _join_line_ends(is_start, begins, kinds)
    _leave_a_blank(is_start, data, begins, kinds)
    _keep_what_is_not_ascii(is_start, data, begins, kinds)
    return np.flatnonzero(is_start[:-1])


def _join_line_ends(is_start: Flags, begins: Positions, kinds: npt.NDArray[np.uint8]) -> None:
    """A newline belongs to the blanks or the marks before it."""
    newlines = np.flatnonzero(kinds[1:] == NEWLINE) + 1
    before = kinds[newlines - 1]
    is_start[begins[newlines[(before == BLANK) | (before == MARK)]]] = False


def _leave_a_blank(is_start: Flags, data: bytes, begins: Positions, kinds: npt.NDArray[np.uint8]) -> None:
    """The last blank before what is no line's end is apart from the others; a space belongs to a word or mark."""
    follows = np.flatnonzero((kinds[:-1] == BLANK) & (kinds[1:] < NEWLINE)) + 1
    places = begins[follows]
    is_start[places - 1] = True
    is_space = np.frombuffer(data, np.uint8)[places - 1] == ord(" ")
    is_start[places[is_space & (kinds[follows] < DIGIT)]] = False


def _keep_what_is_not_ascii(
    is_start: Flags, data: bytes, begins: Positions, kinds: npt.NDArray[np.uint8]
) -> None:
    """Around other bytes than ASCII's, the text between two sure cuts is one piece.

    Sure are the end of ASCII letters before another ASCII character, and the ends of lines and texts: there, pieces
    end whatever the characters on either side of them are.
    """
    values = np.frombuffer(data, np.uint8)
    foreign = np.flatnonzero((values >= 128) & (values != _END_BYTE[0]))
    after_letters = (kinds[:-1] == LETTER) & ((values[begins[1:]] < 128) | (kinds[1:] == END))
    sure = np.concatenate(([0], begins[1:][after_letters | (kinds[:-1] >= NEWLINE) | (kinds[1:] == END)]))
    spans = np.unique(np.searchsorted(sure, foreign, side="right") - 1)
    for begin, end in zip(sure[spans].tolist(), sure[spans + 1].tolist(), strict=True):
        is_start[begin + 1 : end] = False
        is_start[[begin, end]] = True
