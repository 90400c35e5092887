"""The application whose rate the benchmark of the middleware measures, with the guard and without it."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import mdmprofile


async def message(request: Request) -> Response:
    """Read the message, as every server does, and have no command for the device."""
    await request.body()
    return Response()


def guarded() -> list[Middleware]:
    """The guard, where the benchmark asks for it."""
    if "DEVICE_CA" not in os.environ:
        return []
    trust = mdmprofile.DeviceTrust(mdmprofile.load_anchors([os.environ["DEVICE_CA"]]))
    guard = mdmprofile.Guard(trust, mdmprofile.SqlitePinStore(Path(os.environ["PINS"])))
    return [Middleware(mdmprofile.AsgiMiddleware, guard=guard)]


app = Starlette(routes=[Route("/mdm", message, methods=["PUT"])], middleware=guarded())
