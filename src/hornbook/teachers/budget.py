"""Budgets and forecasts: what may be spent is checked before a call at its worst case, and settled at what it cost."""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pvariance

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
EXACT_ASKS = 2_000
"""Up to so many requests, each is made and counted; of more, a sample."""
SAMPLED_ASKS = 400
"""Requests sampled of each part of a forecast: it takes a tenth of a second, and errs by a few percent at most."""
TWO_SIDED_95 = 1.96


@dataclass(frozen=True, slots=True)
class Part:
    """Requests of one kind: how many, and the one with a number, or one like it where it takes long to find."""

    count: int
    like: Callable[[int], Ask]
    every: Callable[[], Iterable[Ask]] | None = None
    """Makes the very requests, where `like` does not."""

    def asks(self) -> Iterable[Ask]:
        return self.every() if self.every else map(self.like, range(self.count))

    def sample(self) -> Iterator[Ask]:
        """A seeded sample without replacement."""
        drawn = random.Random(f"forecast:{self.count}").sample(
            range(self.count), min(self.count, SAMPLED_ASKS)
        )
        return map(self.like, sorted(drawn))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a stage would ask; `guess` says why these are not the very asks, and is empty where they are."""

    parts: Sequence[Part]
    guess: str = ""

    @classmethod
    def of(cls, asks: Sequence[Ask], guess: str = "") -> Forecast:
        """A forecast of asks that are made already."""
        return cls((Part(len(asks), asks.__getitem__),), guess)

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def asks(self) -> Iterator[Ask]:
        """Every ask, made as it is counted."""
        return (ask for part in self.parts for ask in part.asks())


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a set of asks will cost: `asks` differ from each other, `cached` are free, the tokens are for the rest.

    Each `_error` is the half-width of a 95 % interval that sampling leaves; 0 where everything was counted.
    """

    asks: int
    cached: int
    tokens_in: int
    tokens_out: int
    money: float
    basis: str
    """"measured": by the means of the cached answers; "bound": answers as long as they may be."""
    sampled: int = 0
    """The asks that were made and counted, where the others were inferred from them; 0: all were."""
    cached_error: int = 0
    tokens_in_error: int = 0
    tokens_out_error: int = 0
    money_error: float = 0.0


Row = tuple[int, int, Answer | None]
"""The bounds of an ask's tokens in and out, and its cached answer."""


def estimate(
    forecast: Forecast,
    find: Callable[[Ask], Answer | None] | None = None,
    prices: Prices | None = None,
    given: int = 0,
) -> Estimate:
    """The cost of asking what `find` (a cache) does not hold; equal asks are paid once.

    More than EXACT_ASKS are inferred from a sample of each part; `given` is how many answers the cache is known to
    hold for them at least.
    """
    charged = prices or Prices()
    if forecast.count <= EXACT_ASKS:
        unlike = {ask: _row(ask, find) for ask in forecast.asks}
        return _counted(list(unlike.values()), charged)
    samples = [
        (part.count, [_row(ask, find) for ask in part.sample()]) for part in forecast.parts if part.count
    ]
    return _inferred(samples, charged, given, is_cache=find is not None)


def _row(ask: Ask, find: Callable[[Ask], Answer | None] | None) -> Row:
    return prompt_tokens(ask), answer_tokens(ask), find(ask) if find else None


def _shares(rows: Sequence[Row]) -> tuple[float, float, str]:
    """What share of their bounds the tokens in and out take, and what that rests on."""
    known = [(most_in, most_out, answer) for most_in, most_out, answer in rows if answer]
    if len(known) < ENOUGH_ANSWERS or not all(answer.tokens_in for _, _, answer in known):
        return TYPICAL_TOKENS_PER_BYTE, 1.0, "bound"
    share_in = sum(answer.tokens_in for _, _, answer in known) / sum(row[0] for row in known)
    share_out = sum(answer.tokens_out for _, _, answer in known) / sum(row[1] for row in known)
    return share_in, share_out, "measured"


def _counted(rows: Sequence[Row], prices: Prices) -> Estimate:
    """The cost of asks that are all known."""
    share_in, share_out, basis = _shares(rows)
    left = [row for row in rows if row[2] is None]
    tokens_in = math.ceil(sum(row[0] for row in left) * share_in)
    tokens_out = math.ceil(sum(row[1] for row in left) * share_out)
    money = prices.money(tokens_in, tokens_out)
    return Estimate(len(rows), len(rows) - len(left), tokens_in, tokens_out, money, basis)


def _inferred(
    samples: Sequence[tuple[int, list[Row]]], prices: Prices, given: int, is_cache: bool
) -> Estimate:
    """The cost of the parts that these are (size, sample) of: a stratified estimate of totals.

    The variance of a mean is that of its sample with the correction for a finite population; that of the cached
    share is Agresti and Coull's, so that a sample without a cached answer does not claim that there is none.
    """
    share_in, share_out, basis = _shares([row for _, rows in samples for row in rows])
    total = sum(count for count, _ in samples)
    cached = cached_variance = 0.0
    left_in = left_out = variance_in = variance_out = 0.0
    for count, rows in samples:
        hits = sum(row[2] is not None for row in rows)
        unknown = 1 - len(rows) / count
        share = (hits + 2) / (len(rows) + 4) if is_cache else 0.0
        hit_variance = count**2 * share * (1 - share) / (len(rows) + 4) * unknown
        left = count * (1 - hits / len(rows))
        mean_in, mean_out = mean(row[0] for row in rows), mean(row[1] for row in rows)
        spread = pvariance([row[0] for row in rows]) / len(rows) * unknown
        cached, cached_variance = cached + count - left, cached_variance + hit_variance
        left_in, left_out = left_in + left * mean_in, left_out + left * mean_out
        variance_in += left**2 * spread + mean_in**2 * hit_variance
        variance_out += mean_out**2 * hit_variance
    if given > cached:
        rest = (total - min(given, total)) / (total - cached)
        left_in, left_out, cached = left_in * rest, left_out * rest, float(min(given, total))
    tokens_in, tokens_out = math.ceil(left_in * share_in), math.ceil(left_out * share_out)
    error_in = math.ceil(TWO_SIDED_95 * share_in * math.sqrt(variance_in))
    error_out = math.ceil(TWO_SIDED_95 * share_out * math.sqrt(variance_out))
    return Estimate(
        asks=total,
        cached=round(cached),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        money=prices.money(tokens_in, tokens_out),
        basis=basis,
        sampled=sum(len(rows) for _, rows in samples),
        cached_error=math.ceil(TWO_SIDED_95 * math.sqrt(cached_variance)),
        tokens_in_error=error_in,
        tokens_out_error=error_out,
        money_error=prices.money(error_in, error_out),
    )
