"""What every request passes: its token, its size, its time and its id; how it was answered is logged and counted."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthcp.errors import in_one_line
from synthcp.verbs.service.answer import error
from synthcp.verbs.service.limits import MEBIBYTE, Limits, Refused
from synthcp.verbs.service.logs import log
from synthcp.verbs.service.metrics import Metrics
from synthcp.verbs.service.security import Tokens

OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")
"""What is told without a token."""
PATHS = (*OPEN, "/metrics", "/v1/monitor", "/v1/assess", "/v1/assess/batch")
"""All there are."""
_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_REQUEST_ID = "X-Request-ID"
GONE = 499
"""Logged of a client that did not wait."""


class Gate:
    """An application behind what all requests must pass.

    Args:
        app: Behind it.
        tokens: Of those who may ask.
        limits: Of a request.
        metrics: Where it counts.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._tokens = tokens
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        headers, begun = Headers(scope=scope), time.monotonic()
        given = headers.get(_REQUEST_ID, "")
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        scope["state"] = {"request_id": request_id, "until": begun + self._limits.seconds}
        answer = _Answering(send, request_id)
        try:
            await self._passed(scope, headers, _Body(receive, self._limits, begun), answer)
        except ClientDisconnect:
            answer.code = GONE
        except Exception as problem:  # which the application has answered
            log("error", request_id=request_id, problem=in_one_line(problem))
            if not answer.code:
                await refuse(500, "the service failed; its log says more", request_id)(scope, receive, answer)
        self._told(scope, answer.code or 500, time.monotonic() - begun, request_id)

    async def _passed(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        request_id = scope["state"]["request_id"]
        try:
            if scope["path"] not in OPEN:
                self._tokens.require(headers.get("authorization", ""))
            _require_length(headers.get("content-length", "0"), self._limits)
        except Refused as refused:
            await refuse(refused.code, str(refused), request_id, refused.headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _told(self, scope: Scope, code: int, seconds: float, request_id: str) -> None:
        path = scope["path"] if scope["path"] in PATHS else "other"
        self._metrics.requests.labels(path, code).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        log("answered", request_id=request_id, method=method, path=path, code=code, seconds=round(seconds, 4))


class _Body:
    """The body of a request as it comes: not too much of it, and not too late."""

    def __init__(self, receive: Receive, limits: Limits, begun: float) -> None:
        self._receive = receive
        self._limits = limits
        self._until = begun + limits.seconds
        self._length = 0
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:  # what comes now tells that the client goes, whenever it does
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            told = f"the body was not there within {self._limits.seconds} s, the limit; send it faster, or less"
            raise Refused(408, told, {"Connection": "close"}) from None
        self._whole = not message.get("more_body", False)
        self._length += len(message.get("body", b""))
        _require_length(str(self._length), self._limits)
        return message


class _Answering:
    """Sends an answer, with the id of the request, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.code = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            headers = MutableHeaders(scope=message)
            headers[_REQUEST_ID] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)


def _require_length(told: str, limits: Limits) -> None:
    if int(told) > limits.mebibytes * MEBIBYTE:
        came = f"the body has more than {limits.mebibytes} MiB, the limit"
        raise Refused(413, f"{came}; send fewer images at once, or smaller ones")


def refuse(code: int, message: str, request_id: str, headers: dict[str, str] | None = None) -> Response:
    """Return the response that tells why there is no answer."""
    content = error(code, message, request_id=request_id).body
    return Response(content, code, headers, media_type="application/json")


def request_id_of(request: Request) -> str:
    """Return the id that the gate gave a request."""
    return str(request.state.request_id)
