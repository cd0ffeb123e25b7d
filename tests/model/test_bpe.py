from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.core.errors import InputError
from hornbook.model.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

ODD_TEXTS = [
    "def f(x):\n    return x + 1\n\n\n\tif y:  \r\n",
    "emoji 🎉🎉 and é, 漢字\u2028line\x0bfeed\x00nul",
    "x = 1234567890 # ...   \n   \n    '''doc'''",
    "",
    "\n\n\n",
    "   ",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_decoding_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_newline_only_ends_a_token(tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.decode([i]) for i in range(tokenizer.vocabulary)]
    assert any(len(token) > 1 and token.endswith("\n") for token in tokens)
    assert [token for token in tokens if "\n" in token[:-1]] == []


def test_a_prompt_that_ends_a_line_tokenises_alike_alone_and_inside_a_file(
    tokenizer: Tokenizer, source_text: str
) -> None:
    text = source_text[:20_000] + "".join(ODD_TEXTS)
    cuts = [i + 1 for i, character in enumerate(text) if character == "\n"]
    for cut in random.Random(1).sample(cuts, 40):
        before, after = tokenizer.encode_pair(text[:cut], text[cut:])
        assert before + after == tokenizer.encode(text)


def test_the_name_of_the_end_inside_a_text_is_ordinary_text(tokenizer: Tokenizer) -> None:
    text = "print('<|endoftext|>')"
    ids = tokenizer.encode(text)
    assert tokenizer.end_of_text not in ids
    assert ids == tokenizer.encode_batch([text])[0]
    assert tokenizer.decode(ids) == text


def test_saved_and_loaded_by_file_and_by_folder_it_is_the_same(
    tokenizer: Tokenizer, source_text: str, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        loaded = load_tokenizer(place)
        assert loaded.encode(source_text) == tokenizer.encode(source_text)
        assert (loaded.end_of_text, loaded.vocabulary) == (tokenizer.end_of_text, tokenizer.vocabulary)
        assert tokenizer.end_of_text not in loaded.encode("<|endoftext|>")


def test_transformers_reads_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    text = ODD_TEXTS[0]
    assert theirs(text)["input_ids"] == [tokenizer.end_of_text, *tokenizer.encode(text)]
    assert theirs.eos_token_id == tokenizer.end_of_text


def test_training_is_the_same_in_another_process() -> None:
    code = (
        "import inspect, hashlib\n"
        "from hornbook.model.tokenizer import train_tokenizer\n"
        "core = train_tokenizer([inspect.getsource(inspect)], 500).core\n"
        "print(hashlib.sha256(core.to_str().encode()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)
    }
    assert len(runs) == 1


def test_a_small_vocabulary_is_still_complete() -> None:
    small = train_tokenizer(["abc"], 300)
    assert small.decode(small.encode("漢字\xff")) == "漢字\xff"


def test_a_missing_tokenizer_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    with pytest.raises(InputError, match="is not a tokenizer"):
        load_tokenizer(broken)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="no local path and could not be fetched"):
        load_tokenizer("nobody/nothing-at-all")
