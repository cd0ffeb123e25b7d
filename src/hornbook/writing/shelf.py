"""The pages that stay: judged in their order, each beside those before it, and written shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hornbook.core.records import Document, Drop, documents
from hornbook.core.shards import KEPT, read_table, write_shard
from hornbook.teachers import FailureCap
from hornbook.writing.novelty import Novelty
from hornbook.writing.page import Judged, Rules, refusal


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
