from pathlib import Path

import pytest

from hornbook.core.errors import ConfigError, InputError
from hornbook.teachers import load_prompt


def test_a_file_becomes_messages_whose_names_are_filled_without_touching_the_text_put_in(
    tmp_path: Path,
) -> None:
    (tmp_path / "p.txt").write_text("--- system ---\nBe $how.\n--- user ---\nLook:\n\n$code\n")
    prompt = load_prompt(str(tmp_path / "p.txt"), ("code",), ("how",))
    assert prompt.fill(code="cost = '$5 and $how'", how="kind") == (
        ("system", "Be kind."),
        ("user", "Look:\n\ncost = '$5 and $how'"),
    )


def test_the_hash_follows_the_text(tmp_path: Path) -> None:
    hashes = []
    for text in ("--- user ---\n$x", "--- user ---\n$x!"):
        (tmp_path / "p.txt").write_text(text)
        hashes.append(load_prompt(str(tmp_path / "p.txt"), ("x",)).sha256)
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$x", "must begin with"),
        ("--- user ---\nhello", r"lacks \$x"),
        ("--- user ---\n$x $z", r"uses \$z; known: \$x, \$y"),
    ],
)
def test_a_wrong_prompt_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_prompt(str(tmp_path / "p.txt"), ("x",), ("y",))


def test_a_missing_prompt_is_an_input_error() -> None:
    with pytest.raises(InputError, match="prompt no-such cannot be read"):
        load_prompt("no-such", ("x",))
