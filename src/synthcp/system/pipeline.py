"""Work in threads beside the caller: in order, and never more of it at a time than memory has room for."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_SET_OPTION, _MOST_ARENAS = getattr(ctypes.CDLL(None), "mallopt", None), -8
"""Of glibc's memory, and its M_ARENA_MAX."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pipeline:
    """Stages of threads, each of which works on later items while the caller is busy with earlier ones.

    A stage takes items from an iterable and gives outcomes in the same order: `outcome.result()` returns what the work
    returned, or raises what it raised. So stages are put behind one another, and what fails in one of them is told at
    the end, for its item alone. When the context ends no thread is at work any more, whatever ended it.
    """

    def __init__(self) -> None:
        _share_heap()
        self._pools: list[ThreadPoolExecutor] = []

    def stage(
        self, work: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 1, ahead: int = 1
    ) -> Iterator[Future[Result]]:
        """Work on items in threads, and give the outcomes in the order of the items.

        Args:
            work: Called with each item, in a thread.
            items: Taken in the thread of the caller, as they are needed.
            threads: How many; one works on the items in their order.
            ahead: How many items are taken before the outcome of the first is waited for.
        """
        pool = ThreadPoolExecutor(threads)
        self._pools.append(pool)
        begun = deque[Future[Result]]()
        for item in items:
            begun.append(pool.submit(work, item))
            del item  # of which no more are held than are worked on
            if len(begun) > ahead:
                yield begun.popleft()
        while begun:
            yield begun.popleft()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *raised: object) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _share_heap() -> None:
    """Let new threads take memory where others have given some back, instead of from a heap of their own (glibc)."""
    if _SET_OPTION is not None:
        _SET_OPTION(_MOST_ARENAS, 1)


def outcome(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    """Work on an item here and now; what it raises is told as that of a stage is, but an interruption ends the run."""
    future = Future[Result]()
    try:
        future.set_result(work(item))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # the models that people bring may raise anything
        future.set_exception(error)
    return future


def finished(result: Result) -> Future[Result]:
    """Return the outcome of work that is done."""
    future = Future[Result]()
    future.set_result(result)
    return future


def runs(items: Iterable[Item], key: Callable[[Item], object], most: int) -> Iterator[list[Item]]:
    """Group items that follow each other and have the same key, `most` of them at most; None is like no other key."""
    group, last = list[Item](), None
    for item in items:
        own = key(item)
        if group and (own is None or own != last):
            yield group
            group = []
        group.append(item)
        last = own
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
