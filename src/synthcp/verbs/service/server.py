"""The server: it listens when it can judge, and ends when all that it took on is answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from synthcp.errors import InputError
from synthcp.verbs.service.app import build_app
from synthcp.verbs.service.gate import Gate
from synthcp.verbs.service.logs import log, write_logs
from synthcp.verbs.service.order import Order
from synthcp.verbs.service.security import Tokens
from synthcp.verbs.service.service import Service

HEAD_SECONDS = 10.0
"""In which the head of a request must come."""
CONNECTIONS = 512
_SENT_ALREADY = 0.3
"""Seconds in which what was sent before the service ends is read."""
_SLACK = 10
"""Seconds beyond the limit of a request, after which what is still under way is given up."""


def serve(
    order: Order,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    begun: Callable[[str], object] = print,
) -> None:
    """Serve a monitor until SIGINT or SIGTERM; what was accepted before is answered.

    Args:
        order: What the workers judge with.
        host: Address to listen on.
        port: To listen on; 0 takes a free one.
        token_file: Of the tokens of those who may ask; None lets everybody ask.
        begun: Told, when it listens, where.

    Raises:
        InputError: The monitor, the tokens or the address cannot be used.
    """
    tokens = Tokens.read(token_file)
    with _listening(host, port) as listener, Service(order) as service:
        server = Server(config_of(service, tokens))
        write_logs()
        port = listener.getsockname()[1]
        begun(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}")
        log("begun", port=port, workers=order.workers, fingerprint=service.facts["fingerprint"])
        with suppress(KeyboardInterrupt):  # which uvicorn raises again when all is answered
            server.run(sockets=[listener])
    log("ended")


def config_of(service: Service, tokens: Tokens) -> uvicorn.Config:
    """Return the settings of a server of a service."""
    return uvicorn.Config(
        Gate(build_app(service), tokens, service.limits, service.metrics),
        http=Prompt,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=service.limits.seconds + _SLACK,
    )


class Server(uvicorn.Server):
    """A server that reads what was sent to it before it was asked to end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no connection any more, and end when those that there are have been answered."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_SENT_ALREADY)
        await super().shutdown(sockets)


class Prompt(H11Protocol):
    """A connection that is closed when the head of a request is too long in coming."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait on, unless a request is under way."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._late)

    def _wait_no_more(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _late(self) -> None:
        log("late", problem=f"no request within {HEAD_SECONDS:g} s; the connection is closed")
        self.transport.close()


def _listening(host: str, port: int) -> socket.socket:
    if not host:  # which sockets take for every address
        raise InputError("--host is empty; name an address: 127.0.0.1, or 0.0.0.0 for every one")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        problem = (error.strerror or str(error)).partition(" (")[0]
        raise InputError(f"{host}:{port} cannot be listened on ({problem}); choose another --port or --host") from error
