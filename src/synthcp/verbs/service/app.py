"""The routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from synthcp import __version__
from synthcp.verbs.service.gate import refuse, request_id_of
from synthcp.verbs.service.limits import IMAGES, VOLUMES, Refused
from synthcp.verbs.service.order import MapKind
from synthcp.verbs.service.service import Service

MOST_IMAGES = 32
"""Of a batch."""

_FILE = {"type": "string", "format": "binary"}
_STATES = {
    408: "Too slow",
    413: "Too large",
    415: "Of another type",
    422: "No image that can be judged",
    429: "All places are taken",
    500: "The monitor failed",
    504: "No answer in time",
}


def build_app(service: Service) -> FastAPI:
    """Return the application that asks a service."""
    app = FastAPI(title="SynthCP", version=__version__, redoc_url=None, swagger_ui_oauth2_redirect_url=None)
    _add_handlers(app)
    states: dict[int | str, dict[str, Any]] = {code: {"description": told} for code, told in _STATES.items()}

    @app.post("/v1/assess", responses=states, openapi_extra=_body(several=False))
    async def assess(request: Request, maps: MapKind = "none") -> Response:
        """Judge one image, sent as it is or as the part `image` of a form, with its `prediction` if M is elsewhere."""
        (answer,) = await service.answers(request, maps, most=1)
        return Response(answer.body, answer.code, media_type="application/json")

    @app.post("/v1/assess/batch", responses=states, openapi_extra=_body(several=True))
    async def assess_batch(request: Request, maps: MapKind = "none") -> Response:
        """Judge several images, each a part `image`; each has a row and a code, and one that is bad costs no other."""
        answers = await service.answers(request, maps, most=min(MOST_IMAGES, service.limits.queue))
        return Response(b'{"results": [%s]}' % b", ".join(each.body for each in answers), media_type="application/json")

    @app.get("/v1/monitor")
    async def monitor() -> dict[str, Any]:
        """Tell what judges: classes, model, promise and fingerprint."""
        return service.facts

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tell that the service is alive."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> Response:
        """Tell whether an image would be judged now."""
        ready = service.ready
        return JSONResponse({"status": "ok" if ready else "no worker is ready"}, 200 if ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Tell Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return app


def _add_handlers(app: FastAPI) -> None:
    """Let every error be one line of the same form."""

    @app.exception_handler(Refused)
    async def refused(request: Request, problem: Refused) -> Response:
        return refuse(problem.code, str(problem), request_id_of(request), problem.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problem: RequestValidationError) -> Response:
        first = problem.errors()[0]
        told = f"{first['loc'][-1]}: {first['msg']}; see /docs"
        return refuse(422, told, request_id_of(request))

    @app.exception_handler(HTTPException)
    async def wrong(request: Request, problem: HTTPException) -> Response:
        return refuse(
            problem.status_code, f"{problem.detail}; see /docs", request_id_of(request), dict(problem.headers or {})
        )

    @app.exception_handler(Exception)
    async def failed(request: Request, problem: Exception) -> Response:
        return refuse(500, "the service failed; its log says more", request_id_of(request))


def _body(several: bool) -> dict[str, Any]:
    """What OpenAPI is told of a body that is read as it comes."""
    file = {"type": "array", "items": _FILE} if several else _FILE
    form = {"schema": {"type": "object", "required": ["image"], "properties": {"image": file, "prediction": file}}}
    bare = {kind: {"schema": _FILE} for kind in IMAGES | VOLUMES if not several}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form} | bare}}
