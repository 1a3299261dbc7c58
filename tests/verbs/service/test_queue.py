from __future__ import annotations

import time

import pytest

from synthcp.verbs.service.answer import Answer
from synthcp.verbs.service.limits import Refused
from synthcp.verbs.service.order import Asked
from synthcp.verbs.service.queue import Job, JobQueue

DONE = Answer(200, b"{}")


def job(name: str) -> Job:
    return Job(Asked("request", name, "", ".png"), until=time.monotonic() + 10)


def test_the_oldest_come_first_and_no_more_than_a_worker_takes():
    queue, jobs = JobQueue(5), [job(name) for name in "abcde"]
    queue.reserve(5)
    for each in jobs:
        queue.put(each)
    assert len(queue) == 5
    assert queue.take(3, 0) == jobs[:3] and queue.take(3, 0) == jobs[3:] and queue.take(3, 0) == []


def test_a_place_is_free_again_when_its_answer_is_there():
    queue, first, second = JobQueue(2), job("a"), job("b")
    queue.reserve(2)
    queue.put(first)
    queue.put(second)
    for most in (1, 2):
        with pytest.raises(Refused) as refused:
            queue.reserve(most)
        assert refused.value.code == 429 and refused.value.headers == {"Retry-After": "1"}
    queue.take(1, 0)
    with pytest.raises(Refused):
        queue.reserve()
    first.answer.set_result(DONE)
    queue.reserve()
    queue.release()
    assert second.answer.cancel() and queue.held == 0


def test_a_job_for_which_nobody_waits_is_not_judged():
    queue, jobs = JobQueue(3), [job(name) for name in "abc"]
    queue.reserve(3)
    for each in jobs:
        queue.put(each)
    jobs[1].answer.cancel()
    assert queue.take(3, 0) == [jobs[0], jobs[2]] and queue.held == 2


def test_the_time_to_wait_is_learnt():
    queue = JobQueue(10)
    queue.reserve(10)
    for _ in range(50):
        queue.pace(time.monotonic() - 8, count=2, workers=2)  # 2 s an image
    with pytest.raises(Refused) as refused:
        queue.reserve()
    assert refused.value.headers == {"Retry-After": "20"} or refused.value.headers == {"Retry-After": "21"}


def test_a_queue_that_is_closed_gives_what_waits_and_takes_nothing():
    queue, waiting = JobQueue(2), job("a")
    queue.reserve()
    queue.put(waiting)
    queue.close()
    with pytest.raises(Refused, match="the service ends"):
        queue.reserve()
    begun = time.monotonic()
    assert queue.take(2, 30) == [waiting] and queue.take(2, 30) == []
    assert time.monotonic() - begun < 5
