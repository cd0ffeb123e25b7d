"""Byte-level BPE whose tokens never cross a line's end, and any Hugging Face tokenizer beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hornbook.core.errors import InputError, first_line
from hornbook.core.shards import read_json, write_bytes, write_json
from hornbook.model.bpe import Ids, PieceEncoder

END_OF_TEXT = "<|endoftext|>"
ENDS_ELSEWHERE = ("<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]")
"""Names other tokenizers give their end-of-text."""

FILE = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"

LINE_PATTERN = "|".join(
    (
        r"[^\S\r\n]*[\r\n]",  # a line's end, with the blanks before it
        r" ?[^\s\p{L}\p{N}]+[\r\n]",  # punctuation that ends a line: ):\n
        r" ?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+",
        r"[^\S\r\n]+(?!\S)",  # indentation, but for the blank that belongs to the next word
        r"[^\S\r\n]+",
    )
)
"""How text is cut before merging: a newline may end a piece and stands nowhere else in one.

So encode(a + b) == encode(a) + encode(b) whenever a ends in a newline: a prompt that ends a line has the same
tokens alone and inside a file. Each cut that llama.cpp's pre-tokenizer GGUF_PRETOKENIZER makes is one of ours, and
no merge crosses the others: both give the same ids.
"""
GGUF_PRETOKENIZER = "ufakzeka"
"""Words, digits one by one, marks and blanks as in Qwen2, without its rule for English contractions."""


BYTE_LETTERS = {byte: chr(256 + byte) for byte in range(33)} | {127: chr(289)}
"""The letters that byte-level BPE writes for ASCII's blanks and control characters; the others stand for themselves."""


class Tokenizer:
    """Text to ids and back; a special token's name inside a text is ordinary text."""

    def __init__(self, core: Any, end_of_text: str = END_OF_TEXT) -> None:
        """`core` is a tokenizers.Tokenizer that knows the token `end_of_text`."""
        core.encode_special_tokens = True
        core.no_padding()
        core.no_truncation()
        self.core = core
        self.end_of_text_name = end_of_text
        self.end_of_text: int = core.token_to_id(end_of_text)
        self.vocabulary: int = max(core.get_vocab(with_added_tokens=True).values()) + 1
        """Ids are below this."""
        self._pieces = PieceEncoder(self._merge) if cuts_by_line_pattern(core) else None

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.core.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; on all cores."""
        return [found.ids for found in self.core.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_arrays(self, texts: Sequence[str]) -> Iterator[Ids]:
        """The same ids as arrays, in one thread; hornbook's own tokenizers do this over ten times faster."""
        if self._pieces:
            return self._pieces.encode(texts)
        return (np.array(ids, np.uint32) for ids in self.encode_batch(texts))

    def _merge(self, pieces: list[str]) -> list[list[int]]:
        """The ids of pieces of LINE_PATTERN: the model alone merges a piece in a third of the whole pipeline's time.

        What is not ASCII was left uncut and takes the long way.
        """
        merge, foreign = self.core.model.tokenize, [piece for piece in pieces if not piece.isascii()]
        uncut = iter(self.encode_batch(foreign) if foreign else ())
        return [
            [token.id for token in merge(piece.translate(BYTE_LETTERS))] if piece.isascii() else next(uncut)
            for piece in pieces
        ]

    def encode_pair(self, prompt: str, completion: str) -> tuple[list[int], list[int]]:
        """Prompt and completion encoded apart: no token crosses from one to the other, in training as in use."""
        return self.encode(prompt), self.encode(completion)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included; bytes that are not UTF-8 become U+FFFD."""
        text: str = self.core.decode(list(ids), skip_special_tokens=False)
        return text

    def decode_batch(self, batch: Sequence[Sequence[int]]) -> list[str]:
        texts: list[str] = self.core.decode_batch([list(ids) for ids in batch], skip_special_tokens=False)
        return texts

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers' AutoTokenizer reads too."""
        write_bytes(folder / FILE, self.core.to_str(pretty=True).encode())
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.end_of_text_name,
            "eos_token": self.end_of_text_name,
            "clean_up_tokenization_spaces": False,
        }
        write_json(folder / SETTINGS_FILE, settings)


def cuts_by_line_pattern(core: Any) -> bool:
    """Whether a tokenizers.Tokenizer is byte-level BPE that cuts by LINE_PATTERN alone: one that hornbook trained."""
    made = orjson.loads(core.to_str())
    steps = (made["pre_tokenizer"] or {}).get("pretokenizers", [])
    cuts = [(step["type"], step.get("pattern", {}).get("Regex", "")) for step in steps]
    plain = made["normalizer"] is None and made["model"]["type"] == "BPE"
    return plain and cuts == [("Split", LINE_PATTERN), ("ByteLevel", "")]


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE with at most `vocabulary` ids (256 bytes and end-of-text among them)."""
    from tokenizers import Regex, decoders, models, pre_tokenizers, processors, trainers
    from tokenizers import Tokenizer as Core

    core = Core(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LINE_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    # what transformers reads then begins with end-of-text, as every document in training did
    core.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, core.token_to_id(END_OF_TEXT))]
    )
    return Tokenizer(core)


def load_tokenizer(source: str | Path, revision: str = "main") -> Tokenizer:
    """A tokenizer from a tokenizer.json, a folder that holds one, or a Hugging Face Hub id.

    InputError says what is missing: the file, the network, or a token that ends a text.
    """
    path = Path(source)
    if path.exists():
        return _from_folder(path if path.is_dir() else path.parent, path / FILE if path.is_dir() else path)
    return _from_hub(str(source), revision)


def _from_folder(folder: Path, file: Path) -> Tokenizer:
    from tokenizers import Tokenizer as Core

    if not file.exists():
        raise InputError(
            f"{folder} holds no {FILE}; give a folder or file saved by tokenizers or transformers"
        )
    try:
        core = Core.from_file(str(file))
    except Exception as error:  # the Rust side raises bare Exception
        raise InputError(f"{file} is not a tokenizer of the tokenizers library: {error}") from error
    settings = folder / SETTINGS_FILE
    named = read_json(settings).get("eos_token") if settings.exists() else None
    return Tokenizer(core, _end_of_text(core, named, str(file)))


def _from_hub(name: str, revision: str) -> Tokenizer:
    from tokenizers import Tokenizer as Core

    try:
        core = Core.from_pretrained(name, revision=revision)
    except Exception as error:
        raise InputError(
            f"tokenizer {name} is no local path and could not be fetched from the Hugging Face Hub "
            f"({first_line(error)}); check the spelling and the network, or give the path of a tokenizer.json"
        ) from error
    return Tokenizer(core, _end_of_text(core, None, name))


def _end_of_text(core: Any, named: Any, where: str) -> str:
    """The token that ends a text: the one its settings name, or the first known name it has."""
    name = named.get("content") if isinstance(named, dict) else named
    for candidate in (name, END_OF_TEXT, *ENDS_ELSEWHERE):
        if candidate and core.token_to_id(candidate) is not None:
            return str(candidate)
    raise InputError(f"tokenizer {where} has no end-of-text token (looked for {END_OF_TEXT} and its kin)")
