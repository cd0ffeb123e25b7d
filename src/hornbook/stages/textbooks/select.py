"""The pages that stay: judged in their order, each beside those before it, and written shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hornbook.core.records import Document, Drop, documents
from hornbook.core.shards import KEPT, read_table, write_shard
from hornbook.stages.textbooks.writer import Judged, Rules, refusal
from hornbook.teachers import FailureCap
from hornbook.text.hashes import Hashes
from hornbook.text.minhash import Signatures, band_keys, choose_bands, signatures
from hornbook.text.ngrams import gram_hashes, words


@dataclass(frozen=True, slots=True)
class Distance:
    """How different from the pages before it a page must be."""

    near_duplicate: float
    min_new_share: float


class Shelf:
    """Decides which pages are kept, in a fixed order, so that the same answers give the same shards."""

    def __init__(self, out: Path, rules: Rules, distance: Distance, expected_words: int) -> None:
        self.out = out
        self.ids: set[str] = set()
        self._rules = rules
        self._distance = distance
        self._novelty = Novelty(distance.near_duplicate, expected_words)

    def has(self, name: str) -> bool:
        """Whether a shard of that name was finished before."""
        return (self.out / "counts" / f"{name}.json").exists()

    def recall(self, name: str) -> set[str]:
        """Take a finished shard into account; the sources of its kept pages."""
        kept = documents(read_table(self.out / KEPT / name))
        for document in kept:
            self._keep(document)
        return {document.source for document in kept}

    def put(self, name: str, pages: Sequence[Judged], cap: FailureCap) -> set[str]:
        """Keep or drop these pages and write their shard; the sources of those kept."""
        kept: list[Document] = []
        dropped: list[Drop] = []
        for judged in pages:
            if judged.page.failed:
                cap.count(judged.page.failed)
            document, reason, detail = self._decide(judged)
            if reason:
                dropped.append(Drop(document, reason, detail))
            else:
                kept.append(document)
        claims = [claim for judged in pages for claim in judged.claims]
        counts = {
            "blocks": sum(len(judged.ran) for judged in pages),
            "trimmed": sum(judged.page.trimmed_chars > 0 for judged in pages),
            **{
                f"claims.{verdict}": sum(c.verdict == verdict for c in claims)
                for verdict in ("holds", "wrong", "open")
            },
        }
        write_shard(self.out, name, kept, dropped, counts)
        return {document.source for document in kept}

    def _decide(self, judged: Judged) -> tuple[Document, str, str]:
        reason, detail = refusal(judged, self._rules)
        if reason:
            return judged.document(), reason, detail
        look = self._novelty.look(judged.page.text)
        document = judged.document(new_share=round(look.new_share, 3))
        if document.id in self.ids:
            return document, "duplicate", "the same text as an earlier page"
        if look.likeness >= self._distance.near_duplicate:
            return document, "near_duplicate", f"{look.likeness:.2f} like {look.nearest}"
        if look.new_share < self._distance.min_new_share:
            return document, "nothing_new", f"{look.new_share:.2f} of its word 5-grams are new"
        self.ids.add(document.id)
        self._novelty.keep(document.source, look)
        return document, "", ""

    def _keep(self, document: Document) -> None:
        self.ids.add(document.id)
        self._novelty.keep(document.source, self._novelty.look(document.text))


GRAM_WORDS = 5
HASHES = 128
RECALL = 0.95
BITS_A_GRAM = 8
LARGEST_BITS = 1 << 33
PROBES = 3


@dataclass(frozen=True, slots=True)
class Look:
    """A page beside those kept before it: `likeness` is the estimated Jaccard similarity to `nearest`."""

    grams: Hashes
    signature: Signatures
    nearest: str
    likeness: float
    new_share: float


class Seen:
    """A set of hashes in a bit array of fixed size (Bloom, 1970), here at 3 % false hits when full."""

    def __init__(self, expected: int) -> None:
        bits = 1 << max(expected * BITS_A_GRAM - 1, 1023).bit_length()
        self._bits = np.zeros(min(bits, LARGEST_BITS) // 8, np.uint8)

    def _places(self, hashes: Hashes) -> list[NDArray[np.uint64]]:
        step, size = (hashes >> np.uint64(17)) | np.uint64(1), np.uint64(len(self._bits) * 8)
        return [(hashes + step * np.uint64(probe)) % size for probe in range(PROBES)]

    def has(self, hashes: Hashes) -> NDArray[np.bool_]:
        """For each hash whether it was added (rarely also where it was not)."""
        found = np.ones(len(hashes), np.bool_)
        for places in self._places(hashes):
            found &= (self._bits[places >> np.uint64(3)] >> (places & np.uint64(7)).astype(np.uint8)) & 1 == 1
        return found

    def add(self, hashes: Hashes) -> None:
        for places in self._places(hashes):
            bits = np.left_shift(1, places & np.uint64(7)).astype(np.uint8)
            np.bitwise_or.at(self._bits, places >> np.uint64(3), bits)


class Novelty:
    """The pages kept so far; memory is about 3 KB a page and a byte for each expected word."""

    def __init__(self, near: float, expected_words: int) -> None:
        self._bands, self._rows = choose_bands(HASHES, near, RECALL)
        self._seen = Seen(expected_words)
        self._ids: list[str] = []
        self._signatures: list[Signatures] = []
        self._first: dict[int, int] = {}
        """Key of a band -> the first page that has it."""

    def look(self, text: str) -> Look:
        """The nearest page before this one, and how much of it is new."""
        grams = page_grams(text)
        signature = signatures(grams, np.array([0, len(grams)]), HASHES)
        candidates = {self._first[key] for key in self._keys(signature) if key in self._first}
        likeness = {n: float(np.mean(self._signatures[n] == signature[0])) for n in candidates}
        nearest = min(candidates, key=lambda n: (-likeness[n], n), default=-1)
        return Look(
            grams,
            signature,
            self._ids[nearest] if candidates else "",
            likeness.get(nearest, 0.0),
            float(np.mean(~self._seen.has(grams))) if len(grams) else 1.0,
        )

    def keep(self, id_: str, look: Look) -> None:
        """Count this page among those that later ones are compared with."""
        self._seen.add(look.grams)
        if len(look.grams):
            for key in self._keys(look.signature):
                self._first.setdefault(key, len(self._ids))
        self._ids.append(id_)
        self._signatures.append(look.signature[0])

    def _keys(self, signature: Signatures) -> list[int]:
        keys = band_keys(signature, self._bands, self._rows)[0]
        bands = np.arange(self._bands, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return [int(key) for key in keys ^ bands]


def page_grams(text: str) -> Hashes:
    """The distinct 5-grams of a text's words; of a shorter one, all its words as one gram."""
    found = words([text]).hashes
    length = min(GRAM_WORDS, len(found))
    return np.unique(gram_hashes(found, length)) if length else found
