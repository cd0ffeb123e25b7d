"""Budgets: what may be spent is checked before a call at its worst case, and settled at what it cost."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import StoreError
from hornbook.teachers.ask import Answer, Ask, Failed

MESSAGE_TOKENS = 16
"""At most what a chat template adds around a message."""
TYPICAL_TOKENS_PER_BYTE = 0.25
ENOUGH_ANSWERS = 10
"""From so many cached answers on, their means tell more than the bounds do."""

TABLES = """
create table if not exists totals (
    budget text primary key, asks integer not null, tokens integer not null, money real not null
) without rowid;
create table if not exists reserved (
    call text primary key, budget text not null, tokens integer not null, money real not null
) without rowid;
"""


class Prices(Config):
    """Money for a million tokens, in whatever currency the budget is in."""

    tokens_in: float = Field(0.0, ge=0)
    """For a million tokens of prompts."""
    tokens_out: float = Field(0.0, ge=0)
    """For a million tokens of answers."""
    batch_share: float = Field(0.5, ge=0, le=1)
    """What the batch interface costs of that."""

    def money(self, tokens_in: float, tokens_out: float) -> float:
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6

    def in_batch(self) -> Prices:
        """The prices of the batch interface."""
        share = self.batch_share
        return Prices(tokens_in=self.tokens_in * share, tokens_out=self.tokens_out * share)


class Budget(Config):
    """The most that may be spent; 0 is no limit."""

    asks: int = Field(0, ge=0)
    """Calls that a server may charge for, tries included."""
    tokens: int = Field(0, ge=0)
    """Of prompts and answers together."""
    money: float = Field(0.0, ge=0)
    """By the prices of the machine file."""


def prompt_tokens(ask: Ask) -> int:
    """A bound on the tokens of the prompt: no byte-level tokenizer makes more tokens than there are bytes."""
    text = sum(len(content.encode("utf-8", "surrogatepass")) for _, content in ask.messages)
    return text + len(ask.schema) + MESSAGE_TOKENS * len(ask.messages)


def answer_tokens(ask: Ask) -> int:
    """The most tokens an answer can have."""
    return 1 if ask.choices else ask.max_answer_tokens


class Ledger:
    """One named budget and what was spent of it, in an SQLite file: a killed run goes on counting where it was.

    A reservation is on disk before its call and counts at its worst case until it is settled or released, so
    a budget is never overspent; a call whose end nobody saw stays at its worst case.
    """

    def __init__(self, path: Path, name: str, budget: Budget, prices: Prices | None = None) -> None:
        self.path, self.name, self.budget = path, name, budget
        self.prices = prices or Prices()
        self._lock = threading.Lock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=120, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            self._db.executescript(TABLES)
            self._db.execute("insert or ignore into totals values (?, 0, 0, 0)", (name,))

    def spent(self) -> tuple[int, int, float]:
        """Calls, tokens and money so far, what is reserved included."""
        with self._told():
            return self._totals()

    def reserve(self, call: str, ask: Ask) -> Failed | None:
        """Set the worst case of an ask aside under the name `call`; Failed names the limit it would break."""
        tokens_in, tokens_out = prompt_tokens(ask), answer_tokens(ask)
        tokens, money = tokens_in + tokens_out, self.prices.money(tokens_in, tokens_out)
        with self._told(), self._whole():
            if self._db.execute("select 1 from reserved where call = ?", (call,)).fetchone():
                return None
            over = self._over(tokens, money)
            if over is None:
                self._add(1, tokens, money)
                self._db.execute("insert into reserved values (?, ?, ?, ?)", (call, self.name, tokens, money))
        return over

    def settle(self, call: str, tokens_in: int, tokens_out: int) -> None:
        """Replace a worst case by what the call used; a call that is settled already stays as it is."""
        self._replace(call, 1, tokens_in + tokens_out, self.prices.money(tokens_in, tokens_out))

    def release(self, call: str) -> None:
        """A call that cost nothing: it was refused, or never reached the server."""
        self._replace(call, 0, 0, 0.0)

    def _replace(self, call: str, asks: int, tokens: int, money: float) -> None:
        with self._told(), self._whole():
            row = self._db.execute("select tokens, money from reserved where call = ?", (call,)).fetchone()
            if row is not None:
                self._add(asks - 1, tokens - row[0], money - row[1])
                self._db.execute("delete from reserved where call = ?", (call,))

    def _totals(self) -> tuple[int, int, float]:
        query = "select asks, tokens, money from totals where budget = ?"
        asks, tokens, money = self._db.execute(query, (self.name,)).fetchone()
        return asks, tokens, money

    def _add(self, asks: int, tokens: int, money: float) -> None:
        self._db.execute(
            "update totals set asks = asks + ?, tokens = tokens + ?, money = money + ? where budget = ?",
            (asks, tokens, money, self.name),
        )

    def _over(self, tokens: int, money: float) -> Failed | None:
        limits = (self.budget.asks, self.budget.tokens, self.budget.money)
        rows = zip(("asks", "tokens", "money"), limits, self._totals(), (1, tokens, money), strict=True)
        for name, limit, so_far, more in rows:
            if limit and so_far + more > limit * (1 + 1e-9):  # money is a sum of floats
                return Failed(
                    "budget_spent",
                    f"the budget of {self.name} allows {name} = {limit:,g}: {so_far:,g} are spent and this ask may "
                    f"need {more:,g}; raise it and run again (answers so far are kept)",
                )
        return None

    @contextmanager
    def _whole(self) -> Iterator[None]:
        self._db.execute("begin immediate")  # several processes may share a budget
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the spendings in {self.path} cannot be kept ({error}); free space, or move the file away"
            ) from error

    def close(self) -> None:
        self._db.close()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a set of asks will cost, before any is sent: `asks` differ from each other, `cached` are free."""

    asks: int
    cached: int
    tokens_in: int
    tokens_out: int
    money: float
    basis: str
    """"measured": by the means of the cached answers; "bound": answers as long as they may be."""


def estimate(
    asks: Sequence[Ask], find: Callable[[Ask], Answer | None], prices: Prices | None = None
) -> Estimate:
    """The cost of asking what `find` (a cache) does not hold; equal asks are paid once."""
    found = {ask: find(ask) for ask in dict.fromkeys(asks)}
    known = [(ask, answer) for ask, answer in found.items() if answer is not None]
    missing = [ask for ask, answer in found.items() if answer is None]
    measured = len(known) >= ENOUGH_ANSWERS and all(answer.tokens_in for _, answer in known)
    share_in, share_out = _shares(known) if measured else (TYPICAL_TOKENS_PER_BYTE, 1.0)
    tokens_in = math.ceil(sum(prompt_tokens(ask) for ask in missing) * share_in)
    tokens_out = math.ceil(sum(answer_tokens(ask) for ask in missing) * share_out)
    money = (prices or Prices()).money(tokens_in, tokens_out)
    basis = "measured" if measured else "bound"
    return Estimate(len(found), len(known), tokens_in, tokens_out, money, basis)


def _shares(known: Sequence[tuple[Ask, Answer]]) -> tuple[float, float]:
    """How much of their bounds the prompts and the answers of the cache have used."""
    tokens_in = sum(answer.tokens_in for _, answer in known)
    tokens_out = sum(answer.tokens_out for _, answer in known)
    bounds = sum(prompt_tokens(ask) for ask, _ in known), sum(answer_tokens(ask) for ask, _ in known)
    return tokens_in / bounds[0], tokens_out / bounds[1]
