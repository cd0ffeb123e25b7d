"""Prompts are files, and their text is their version."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from hornbook.core.errors import ConfigError, InputError

ROLE = re.compile(r"^--- (system|user|assistant) ---\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages with $names in them; `sha256` is the hash of the file's text."""

    messages: tuple[tuple[str, str], ...]
    sha256: str

    @property
    def names(self) -> frozenset[str]:
        """The names that stand in it with a $."""
        return frozenset(n for _, content in self.messages for n in Template(content).get_identifiers())

    def fill(self, **values: str) -> tuple[tuple[str, str], ...]:
        """The messages with every $name replaced; a name without a value is a KeyError."""
        return tuple((role, Template(content).substitute(values)) for role, content in self.messages)


def load_prompt(name: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> Prompt:
    """A prompt that comes with hornbook (its name), or a text file of your own (its path).

    A message begins with a line `--- user ---` (or system, or assistant). The required names must occur in it as
    $name, the optional ones may, and no others; ConfigError says which is wrong.
    """
    shipped = resources.files("hornbook") / "prompts" / f"{name}.txt"
    try:
        text = (shipped if shipped.is_file() else Path(name)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"prompt {name} cannot be read ({error}); give a shipped name or a text file"
        ) from error
    parts = ROLE.split(text)
    messages = tuple((role, content.strip()) for role, content in zip(parts[1::2], parts[2::2], strict=True))
    if parts[0].strip() or not messages:
        raise ConfigError(f"prompt {name} must begin with a line like `--- user ---`")
    prompt = Prompt(messages, hashlib.sha256(text.encode()).hexdigest())
    found = prompt.names
    missing = [f"${n}" for n in required if n not in found]
    unknown = [f"${n}" for n in sorted(found - set(required) - set(optional))]
    if missing or unknown:
        known = ", ".join(f"${n}" for n in required + optional)
        wrong = f"lacks {', '.join(missing)}" if missing else f"uses {', '.join(unknown)}; known: {known}"
        raise ConfigError(f"prompt {name} {wrong}")
    return prompt
