"""The gate, without a server: whatever happens behind it, there is one answer, of one line."""

from __future__ import annotations

import asyncio
import json
import logging

from starlette.requests import ClientDisconnect

from synthcp.verbs.service.gate import Gate
from synthcp.verbs.service.limits import MEBIBYTE, Limits, Refused
from synthcp.verbs.service.logs import write_logs
from synthcp.verbs.service.metrics import Metrics
from synthcp.verbs.service.security import Tokens


def passed(app, chunks=(b"",), pause: float = 0, headers: dict[str, str] | None = None):
    """What is sent when an application behind a gate gets so many chunks: status, headers, body."""
    sent, left = [], list(chunks)

    async def receive():
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    told = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "path": "/v1/assess", "method": "POST", "headers": told}
    metrics = Metrics()
    asyncio.run(Gate(app, Tokens(), Limits(mebibytes=1, seconds=1), metrics)(scope, receive, send))
    return sent, metrics.text().decode()


async def reading(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def failing(scope, receive, send):
    raise RuntimeError("a secret\nof two lines")


async def failing_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("a secret")


async def gone(scope, receive, send):
    raise ClientDisconnect


def test_an_answer_has_the_id_of_its_request():
    (start, _), metrics = passed(reading, headers={"x-request-id": "a-1"})
    assert (b"x-request-id", b"a-1") in start["headers"] and start["status"] == 200
    assert 'synthcp_requests_total{code="200",path="/v1/assess"} 1.0' in metrics


def test_what_fails_is_an_answer_without_a_word_of_it_and_a_line_of_the_log(caplog):
    logger = logging.getLogger("synthcp.verbs.service")
    logger.addHandler(caplog.handler)
    (start, body), _ = passed(failing)
    told = json.loads(body["body"])
    assert start["status"] == 500 and told["message"] == "the service failed; its log says more"
    assert [record.msg.get("problem") for record in caplog.records][:1] == ["RuntimeError: a secret of two lines"]
    sent, metrics = passed(failing_late)
    assert len(sent) == 1 and sent[0]["status"] == 200
    assert passed(gone)[0] == [] and 'code="499"' in passed(gone)[1]
    logger.removeHandler(caplog.handler)


def test_a_body_is_refused_as_it_comes():
    codes, half = list[int](), bytes(MEBIBYTE // 2)

    async def noting(scope, receive, send):
        try:
            await reading(scope, receive, send)
        except Refused as refused:
            codes.append(refused.code)

    passed(noting, [half, half])
    assert codes == []
    passed(noting, [half, half, b"x"])
    passed(noting, [b"x"] * 9, pause=0.3)
    assert codes == [413, 408]


def test_the_log_is_lines_of_json_without_a_traceback(capsys):
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        write_logs()
        try:
            raise ValueError("what\nhappened \x1b[2J")
        except ValueError:
            logging.getLogger("of a library").exception("it failed\nhere")
        (line,) = capsys.readouterr().err.splitlines()
        told = json.loads(line)
        assert told["problem"] == "ValueError: what happened \x1b[2J" and "\x1b" not in line
        assert (told["level"], told["event"]) == ("error", "it failed\nhere") and "Traceback" not in line
    finally:
        logging.captureWarnings(False)
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
        logging.getLogger("synthcp.verbs.service").handlers.clear()
