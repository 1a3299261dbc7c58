from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from synthcp.system.pipeline import Pipeline, finished, outcome, runs


@pytest.mark.parametrize("threads", [1, 3])
def test_outcomes_come_in_the_order_of_the_items(threads: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 * (number % 2 == 0))
        return number * number

    with Pipeline() as pipeline:
        found = [each.result() for each in pipeline.stage(slow_first, range(9), threads=threads, ahead=4)]
    assert found == [number * number for number in range(9)]


def test_work_goes_on_beside_the_caller_and_only_so_far_ahead() -> None:
    begun, taken = list[int](), list[int]()

    def items():
        for number in range(6):
            taken.append(number)
            yield number

    with Pipeline() as pipeline:
        stage = pipeline.stage(begun.append, items(), ahead=2)
        next(stage).result()
        for _ in range(100):
            if len(begun) == 3:
                break
            time.sleep(0.01)
        assert begun == [0, 1, 2] and taken == [0, 1, 2]  # the first, and two ahead of it
        next(stage)
        assert taken == [0, 1, 2, 3]


def test_what_fails_is_told_at_the_end_of_all_stages_for_its_item_alone() -> None:
    def halve(number: int) -> float:
        if number == 2:
            raise ValueError("two")
        return number / 2

    def double(half: Future[float]) -> float:
        return 2 * half.result()

    with Pipeline() as pipeline:
        halves = pipeline.stage(halve, range(4))
        same = (outcome(double, each) for each in halves)
        found = list(pipeline.stage(double, same))
        assert found[3].result() == 6
    assert [each.exception() is None for each in found] == [True, True, False, True]
    with pytest.raises(ValueError, match="two"):
        found[2].result()


def test_no_thread_is_at_work_when_the_context_has_ended() -> None:
    done = list[int]()

    def slow(number: int) -> None:
        time.sleep(0.05)
        done.append(number)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Pipeline() as pipeline:
        for _ in pipeline.stage(slow, range(100), ahead=5):
            raise KeyboardInterrupt
    at_the_end = list(done)
    time.sleep(0.15)
    assert done == at_the_end and len(done) < 5 and threading.active_count() == before


def test_an_interruption_is_no_outcome_and_any_other_error_is() -> None:
    def fail(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyboardInterrupt):
        outcome(fail, KeyboardInterrupt())
    assert isinstance(outcome(fail, SystemExit(3)).exception(), SystemExit)
    assert finished(7).result() == 7


@pytest.mark.parametrize(
    ("keys", "most", "expected"),
    [
        ("aabbb", 2, ["aa", "bb", "b"]),
        ("aaa", 1, ["a", "a", "a"]),
        ("a--aa", 9, ["a", "-", "-", "aa"]),  # "-" goes with none
        ("", 3, []),
    ],
)
def test_runs_of_one_key(keys: str, most: int, expected: list[str]) -> None:
    found = runs(keys, lambda letter: None if letter == "-" else letter, most)
    assert ["".join(group) for group in found] == expected


def test_a_full_run_is_given_before_the_next_item_is_taken() -> None:
    taken = list[int]()

    def items():
        for number in range(5):
            taken.append(number)
            yield number

    assert next(runs(items(), lambda _: "same", 2)) == [0, 1] and taken == [0, 1]
