"""Budgets: what may be spent is checked before a call at its worst case, and settled at what it cost."""

from __future__ import annotations

import asyncio
import math
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hornbook.core.database import Database
from hornbook.core.errors import BudgetError
from hornbook.core.machine import Budget, Prices
from hornbook.teachers.request import Answer, Ask, Failed, Front, Teacher

MESSAGE_TOKENS = 16
"""At most what a chat template adds around a message."""
LOOK_AGAIN_SECONDS = 0.05
TABLES = """
create table if not exists totals (
    account text primary key, asks integer not null, tokens integer not null, money real not null
) without rowid;
create table if not exists reserved (
    call text not null, account text not null, tokens integer not null, money real not null,
    primary key (call, account)
) without rowid;
"""


def prompt_tokens(ask: Ask) -> int:
    """A bound on the tokens of the prompt: no byte-level tokenizer makes more tokens than there are bytes."""
    text = sum(len(content.encode("utf-8", "surrogatepass")) for _, content in ask.messages)
    return text + len(ask.schema) + MESSAGE_TOKENS * len(ask.messages)


def answer_tokens(ask: Ask) -> int:
    """The most tokens an answer can have."""
    return 1 if ask.choices else ask.max_answer_tokens


@dataclass(frozen=True, slots=True)
class Account:
    """One limit, the name that it has in the machine file, and the name under which its spendings are kept."""

    name: str
    setting: str
    limit: Budget


class Ledger:
    """What was spent on some accounts, in an SQLite file: a killed run goes on counting where it was.

    A reservation is on disk before its call and counts at its worst case until it is settled or released, so
    no limit is ever overspent; a call whose end nobody saw stays at its worst case.
    """

    def __init__(self, path: Path, accounts: tuple[Account, ...], prices: Prices | None = None) -> None:
        self.accounts = accounts
        self.prices = prices or Prices()
        self._under_way: set[str] = set()
        self._database = Database(path, "the spendings in", TABLES)

    @property
    def under_way(self) -> int:
        """Calls of this process that are reserved and not over: each may turn out cheaper than its worst case."""
        return len(self._under_way)

    def spent(self) -> dict[str, tuple[int, int, float]]:
        """Account -> calls, tokens and money so far, what is reserved included."""
        with self._database as db:
            rows = db.execute("select account, asks, tokens, money from totals order by account")
            return {account: (asks, tokens, money) for account, asks, tokens, money in rows}

    def reserve(self, call: str, ask: Ask) -> BudgetError | None:
        """Set the worst case of an ask aside as `call`; else the error, unraised, that names the limit in the way."""
        tokens_in, tokens_out = prompt_tokens(ask), answer_tokens(ask)
        tokens, money = tokens_in + tokens_out, self.prices.money(tokens_in, tokens_out)
        with self._database.whole() as db:
            known = db.execute("select 1 from reserved where call = ?", (call,)).fetchone()
            over = None if known else self._over(db, tokens, money)
            for account in self.accounts if not (known or over) else ():
                _add(db, account.name, 1, tokens, money)
                row = (call, account.name, tokens, money)
                db.execute("insert into reserved values (?, ?, ?, ?)", row)
        if over is None:
            self._under_way.add(call)
        return over

    def settle(self, call: str, tokens_in: int, tokens_out: int) -> None:
        """Replace a worst case by what the call used; a call that is settled already stays as it is."""
        self._replace(call, 1, tokens_in + tokens_out, self.prices.money(tokens_in, tokens_out))

    def release(self, call: str) -> None:
        """A call that cost nothing: it was refused, or never reached the server."""
        self._replace(call, 0, 0, 0.0)

    def leave(self, call: str) -> None:
        """A call whose cost nobody knows stays at its worst case."""
        self._under_way.discard(call)

    def _replace(self, call: str, asks: int, tokens: int, money: float) -> None:
        with self._database.whole() as db:
            rows = db.execute("select account, tokens, money from reserved where call = ?", (call,))
            for account, tokens_before, money_before in rows.fetchall():
                _add(db, account, asks - 1, tokens - tokens_before, money - money_before)
            db.execute("delete from reserved where call = ?", (call,))
        self._under_way.discard(call)

    def _over(self, db: sqlite3.Connection, tokens: int, money: float) -> BudgetError | None:
        return next(filter(None, (_over(db, account, tokens, money) for account in self.accounts)), None)

    def close(self) -> None:
        self._database.close()


def _add(db: sqlite3.Connection, account: str, asks: int, tokens: int, money: float) -> None:
    db.execute(
        "insert into totals values (?, ?, ?, ?) on conflict (account) do update set "
        "asks = asks + excluded.asks, tokens = tokens + excluded.tokens, money = money + excluded.money",
        (account, asks, tokens, money),
    )


def _over(db: sqlite3.Connection, account: Account, tokens: int, money: float) -> BudgetError | None:
    """The error that names the limit of an account which so much more would break."""
    query = "select asks, tokens, money from totals where account = ?"
    so_far = db.execute(query, (account.name,)).fetchone() or (0, 0, 0.0)
    limits = (account.limit.asks, account.limit.tokens, account.limit.money)
    rows = zip(("asks", "tokens", "money"), limits, so_far, (1, tokens, money), strict=True)
    for name, limit, spent, more in rows:
        if limit and spent + more > limit * (1 + 1e-9):  # money is a sum of floats
            return BudgetError(
                f"the budget of {account.name} is spent: {name} = {limit:,.6g} are allowed, {spent:,.6g} are used "
                f"or set aside, and the next ask may need {more:,.6g}; raise [budgets.{account.setting}] in the "
                "machine file and run again (answers so far are kept)"
            )
    return None


async def afford(ledger: Ledger, call: str, ask: Ask) -> None:
    """Reserve an ask; where calls under way may turn out cheaper than feared, wait for them before giving up."""
    while (over := ledger.reserve(call, ask)) is not None:
        if not ledger.under_way:
            raise over
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


class Metered(Front):
    """A teacher of which every ask is one call, within the budgets of a ledger."""

    def __init__(self, teacher: Teacher, ledger: Ledger) -> None:
        super().__init__(teacher)
        self.ledger = ledger

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The teacher's answer; BudgetError where the ask is more than what is left."""
        call = secrets.token_hex(8)
        await afford(self.ledger, call, ask)
        tokens = None
        try:
            answer = await self.teacher.answer(ask)
            if isinstance(answer, Answer):
                tokens = answer.tokens_in, answer.tokens_out
            return answer
        finally:
            if tokens:
                self.ledger.settle(call, *tokens)
            else:
                self.ledger.release(call)

    def close(self) -> None:
        super().close()
        self.ledger.close()


TYPICAL_TOKENS_PER_BYTE = 0.25
ENOUGH_ANSWERS = 10
"""From so many cached answers on, their means tell more than the bounds do."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a stage would ask; `guess` says why these are not the very asks, and is empty where they are."""

    asks: Iterable[Ask]
    """Made as they are counted, where they are many: a million do not fit into the memory of a laptop."""
    guess: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a set of asks will cost: `asks` differ from each other, `cached` are free, the tokens are for the rest."""

    asks: int
    cached: int
    tokens_in: int
    tokens_out: int
    money: float
    basis: str
    """"measured": by the means of the cached answers; "bound": answers as long as they may be."""


def estimate(
    asks: Iterable[Ask], find: Callable[[Ask], Answer | None], prices: Prices | None = None
) -> Estimate:
    """The cost of asking what `find` (a cache) does not hold; equal asks are paid once. No ask is kept."""
    seen: set[int] = set()
    known = bound_in = bound_out = used_in = used_out = left_in = left_out = 0
    is_told = True
    for ask in asks:
        if (key := hash(ask)) in seen:
            continue
        seen.add(key)
        answer, most_in, most_out = find(ask), prompt_tokens(ask), answer_tokens(ask)
        if answer is None:
            left_in, left_out = left_in + most_in, left_out + most_out
            continue
        known += 1
        is_told = is_told and bool(answer.tokens_in)
        bound_in, bound_out = bound_in + most_in, bound_out + most_out
        used_in, used_out = used_in + answer.tokens_in, used_out + answer.tokens_out
    measured = known >= ENOUGH_ANSWERS and is_told
    share_in, share_out = (
        (used_in / bound_in, used_out / bound_out) if measured else (TYPICAL_TOKENS_PER_BYTE, 1.0)
    )
    tokens_in, tokens_out = math.ceil(left_in * share_in), math.ceil(left_out * share_out)
    money = (prices or Prices()).money(tokens_in, tokens_out)
    return Estimate(len(seen), known, tokens_in, tokens_out, money, "measured" if measured else "bound")
