"""How well claims about output are told apart from other words: on the READMEs of the packages installed here.

    python bench/claims.py [--show]

People wrote these pages, mostly with care, so nearly every claim that is called wrong should be a mistake of the
checker, or of the page. Each block of code is judged by itself with the text up to the next. --show prints the claims
that were called wrong.
"""

from __future__ import annotations

import argparse
import site
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hornbook.sandbox import Limits, Sandbox
from hornbook.stages.textbooks.writer import Page, judge
from hornbook.text.markdown import fences


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--show", action="store_true")
    chosen = arguments.parse_args()
    verdicts: Counter[str] = Counter()
    blocks = 0
    with Sandbox(mode="fast", limits=Limits(cpu_seconds=3.0)) as sandbox:
        for name, text in excerpts():
            blocks += 1
            for claim in judge(Page(name, {}, text), sandbox).claims:
                verdicts[f"{claim.kind} {claim.verdict}"] += 1
                if chosen.show and claim.verdict == "wrong":
                    print(
                        f"---- {name}\n{text[:1_000]}\n=> {claim.text[:200]!r}, printed {claim.printed[:200]!r}"
                    )
    told = ", ".join(f"{key} {count}" for key, count in sorted(verdicts.items()))
    print(f"{blocks} blocks of code; claims: {told}")


def excerpts() -> Iterator[tuple[str, str]]:
    """Every block of Python in a README, with what stands between it and the next block of code."""
    seen: set[str] = set()
    for folder in site.getsitepackages():
        for path in sorted(Path(folder).glob("*.dist-info/METADATA")):
            text = path.read_text("utf-8", errors="replace")
            marks = [mark for mark in fences(text) if len(text) < 100_000]
            for mark, after in zip(marks, [*marks[1:], None], strict=False):
                if mark.kind in ("code", "session") and mark.text not in seen:
                    seen.add(mark.text)
                    follows = after is not None and after.kind == "output"
                    end = after.end if after and follows else after.start if after else len(text)
                    yield path.parent.name, text[mark.start : end]


if __name__ == "__main__":
    main()
