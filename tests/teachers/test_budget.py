"""A budget is never overspent, whoever is killed; what turned out cheaper is spent on the rest."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from scripts import Slow, ask, script
from server import Server, serving

from hornbook.core.errors import BudgetError
from hornbook.core.machine import Budget, CannedPlace, Prices
from hornbook.core.progress import Silent
from hornbook.teachers import Account, Answer, Ask, Errand, Failed, answer_all, open_teacher
from hornbook.teachers.budget import (
    SAMPLED_ASKS,
    Forecast,
    Ledger,
    Metered,
    Part,
    answer_tokens,
    estimate,
    prompt_tokens,
)

PRICES = Prices(tokens_in=1_000_000.0, tokens_out=2_000_000.0)


def account(name: str = "nano/textbooks", **limits: Any) -> Account:
    return Account(name, name.partition("/")[2] or "run", Budget(**limits))


def ledger(folder: Path, *accounts: Account) -> Ledger:
    return Ledger(folder / "spendings.sqlite", accounts, PRICES)


def test_a_reservation_counts_at_its_worst_until_it_is_settled(tmp_path: Path) -> None:
    book = ledger(tmp_path, account())
    one = ask("four", max_answer_tokens=10)  # 4 bytes and a message's template: 20 tokens in at most
    assert (prompt_tokens(one), answer_tokens(one)) == (20, 10)
    book.reserve("a", one)
    assert book.spent() == {"nano/textbooks": (1, 30, 40.0)}
    book.reserve("b", one)
    book.settle("a", 2, 3)
    book.release("b")
    assert book.spent() == {"nano/textbooks": (1, 5, 8.0)}
    book.settle("a", 100, 100)
    assert book.spent() == {"nano/textbooks": (1, 5, 8.0)}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"asks": 2}, "asks = 2 are allowed, 2 are used or set aside, and the next ask may need 1"),
        ({"tokens": 70}, "tokens = 70 are allowed, 60 are used"),
        ({"money": 100.0}, "money = 100 are allowed, 80 are used or set aside, and the next ask may need 40"),
    ],
)
def test_the_ask_that_would_break_a_limit_is_refused_by_name(
    tmp_path: Path, limits: dict[str, Any], said: str
) -> None:
    book = ledger(tmp_path, account("nano"), account(**limits))
    one = ask("four", max_answer_tokens=10)
    assert book.reserve("a", one) is None
    assert book.reserve("b", one) is None
    over = book.reserve("c", one)
    assert isinstance(over, BudgetError)
    assert said in str(over)
    assert "the budget of nano/textbooks is spent" in str(over)
    assert "raise [budgets.textbooks] in the machine file and run again" in str(over)
    assert book.spent()["nano"][0] == 2


def test_what_a_killed_process_set_aside_stays_spent(tmp_path: Path) -> None:
    one = ask("four", max_answer_tokens=10)
    ledger(tmp_path, account(asks=1)).reserve("lost", one)
    assert ledger(tmp_path, account(asks=1)).reserve("new", one) is not None
    assert ledger(tmp_path, account(asks=1)).reserve("lost", one) is None


def test_an_ask_waits_for_those_under_way_before_the_budget_is_called_spent(tmp_path: Path) -> None:
    place = CannedPlace(path=str(script(tmp_path / "s", {"text": "two words"})), concurrency=4)
    asks = [ask(f"word {n}", max_answer_tokens=10) for n in range(8)]
    worst = prompt_tokens(asks[0]) + 10
    enough = Errand(accounts=(account(tokens=8 * 4 + worst),))  # 2 in and 2 out each
    with open_teacher("m", place, tmp_path / "a", Silent(), errand=enough) as teacher:
        assert all(isinstance(a, Answer) for a in answer_all(teacher, asks))
    little = Errand(accounts=(account(tokens=4 * 4 + worst - 1),))
    with (
        open_teacher("m", place, tmp_path / "b", Silent(), errand=little) as teacher,
        pytest.raises(BudgetError, match="nano/textbooks"),
    ):
        list(answer_all(teacher, asks))
    more = Errand("", (account(),))
    with open_teacher("m", place, tmp_path / "b", Silent(), errand=more) as teacher:
        said = list(answer_all(teacher, asks))
    assert sum(a.cached for a in said if isinstance(a, Answer)) == 4


def test_failures_of_a_teacher_here_cost_nothing(tmp_path: Path) -> None:
    book = ledger(tmp_path, account())
    teacher = Metered(Slow(tmp_path / "log"), book)
    [said] = answer_all(teacher, [ask("bad")])
    assert isinstance(said, Failed)
    assert book.spent() == {"nano/textbooks": (0, 0, 0.0)}


def ask_within(place: Any, folder: str, limit: Budget) -> None:
    errand = Errand(accounts=(Account("nano", "run", limit),))
    with open_teacher("small-model", place, Path(folder), Silent(), errand=errand) as teacher:
        list(answer_all(teacher, [ask(f"word {n}", max_answer_tokens=5) for n in range(400)]))


def test_a_budget_of_asks_holds_across_kills_faults_and_processes(tmp_path: Path) -> None:
    """The server's log is the judge: with every fault that costs, no more than the budget is paid."""

    def faults(word: str, attempt: int) -> str:
        kinds = ("malformed", "cut_half", "wrong_model", "500", "429_bare", "", "", "")
        return kinds[int(word.split()[1]) % 8] if attempt == 1 else ""

    limit = Budget(asks=150)
    with serving(Server(faults, idempotent=False, seconds=0.01)) as server:
        place = server.place(tries=8, concurrency=8)
        process = multiprocessing.get_context("spawn").Process(
            target=ask_within, args=(place, str(tmp_path), limit)
        )
        process.start()
        while len(server.paid) < 60:
            time.sleep(0.002)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(BudgetError, match="asks = 150 are allowed"):
            ask_within(place, str(tmp_path), limit)
        charged = len(server.paid) + len(server.spoiled)
        assert 120 <= charged <= 150


def test_an_estimate_counts_equal_asks_once_and_learns_from_what_is_cached() -> None:
    asks = [ask(f"word {n:02}", max_answer_tokens=100) for n in range(20)]
    bound = estimate(Forecast.of([*asks, *asks]), lambda _: None, PRICES)
    assert (bound.asks, bound.cached, bound.tokens_out, bound.basis) == (20, 0, 2000, "bound")
    assert bound.money == bound.tokens_in + 2 * bound.tokens_out

    def find(one: Ask) -> Answer | None:
        return Answer("x", tokens_in=6, tokens_out=25) if int(one.messages[0][1][-2:]) < 15 else None

    measured = estimate(Forecast.of(asks), find, PRICES)
    assert (measured.asks, measured.cached, measured.basis) == (20, 15, "measured")
    assert (measured.tokens_in, measured.tokens_out) == (30, 125)


def test_an_estimate_of_many_asks_infers_from_a_sample_and_says_how_far_it_may_err() -> None:
    sizes = [random.Random(number).randrange(100, 2_000) for number in range(20_000)]

    def like(number: int) -> Ask:
        return ask("x" * sizes[number], max_answer_tokens=100, seed=number)

    parts = (
        Part(20_000, like),
        Part(5_000, lambda number: ask("y" * 400, max_answer_tokens=50, seed=number)),
    )
    found = estimate(Forecast(parts), None, PRICES)
    exact = (sum(prompt_tokens(like(number)) for number in range(20_000)) + 5_000 * 416) * 0.25
    assert (found.asks, found.cached, found.tokens_out) == (25_000, 0, 20_000 * 100 + 5_000 * 50)
    assert found.sampled == 2 * SAMPLED_ASKS
    assert (found.cached_error, found.tokens_out_error) == (0, 0)
    assert 0 < found.tokens_in_error < 0.08 * exact
    assert abs(found.tokens_in - exact) < 1.5 * found.tokens_in_error
    assert found.money_error == PRICES.money(found.tokens_in_error, 0)


def test_an_estimate_from_a_sample_subtracts_what_is_cached() -> None:
    def like(number: int) -> Ask:
        return ask("x" * 84, max_answer_tokens=100, seed=number)

    many = Forecast((Part(10_000, like),))
    third = estimate(many, lambda one: None if one.seed % 3 else Answer("x", 10, 20), PRICES)
    assert abs(third.cached - 10_000 / 3) < 1.5 * third.cached_error
    assert third.cached_error < 600
    assert (third.basis, third.tokens_out) == ("measured", 20 * (10_000 - third.cached))
    unseen = estimate(many, lambda _: None, PRICES)
    assert unseen.cached == 0
    assert unseen.cached_error > 0
    given = estimate(many, lambda _: None, PRICES, given=4_000)
    assert (given.cached, given.tokens_out) == (4_000, 100 * 6_000)
    assert estimate(many, None, PRICES, given=20_000).tokens_out == 0
