"""An MDM server's front in Starlette: only messages of enrolled devices reach it.

    pip install mdmprofile starlette uvicorn
    DEVICE_CA=device-ca.pem PINS=pins.sqlite uvicorn starlette_mdm:app --no-proxy-headers

Behind a proxy that ends TLS the profile needs sign_message = true. Where the proxy passes the device's certificate on
instead, hand ``ProxyCertificates("nginx", trusted=["127.0.0.1"])`` to the guard.
"""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mdmprofile.anchors import load_anchors
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.middleware import AsgiMiddleware, Guard
from mdmprofile.pins_sqlite import SqlitePinStore


async def message(request: Request) -> Response:
    """Every message that comes here is from the device that it names."""
    sender = request.scope["mdmprofile.sender"]
    if sender.message.message_type:
        print(f"{sender.udid} says {sender.message.message_type}")
        return Response()
    # No command waits: an empty answer ends the conversation.
    return Response()


async def health(_: Request) -> Response:
    """Anybody may ask whether the server is up."""
    return PlainTextResponse("up\n")


guard = Guard(
    DeviceTrust(load_anchors([os.environ["DEVICE_CA"]])),
    SqlitePinStore(Path(os.environ.get("PINS", "pins.sqlite"))),
)
app = Starlette(
    routes=[
        Route("/mdm", message, methods=["PUT"]),
        Route("/checkin", message, methods=["PUT"]),
        Route("/health", health),
    ],
    middleware=[Middleware(AsgiMiddleware, guard=guard, unguarded=["/health"])],
)
