"""An MDM server's front in Flask: only messages of enrolled devices reach it.

    pip install mdmprofile flask
    DEVICE_CA=device-ca.pem PINS=pins.sqlite flask --app flask_mdm run

Behind a proxy that ends TLS the profile needs sign_message = true. Where the proxy passes the device's certificate on
instead, hand ``ProxyCertificates("nginx", trusted=["127.0.0.1"])`` to the guard.
"""

import os
from pathlib import Path

from flask import Flask, request

from mdmprofile.anchors import load_anchors
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.middleware import Guard, WsgiMiddleware
from mdmprofile.pins_sqlite import SqlitePinStore

app = Flask(__name__)


@app.put("/mdm")
@app.put("/checkin")
def message() -> str:
    """Every message that comes here is from the device that it names."""
    sender = request.environ["mdmprofile.sender"]
    if sender.message.message_type:
        print(f"{sender.udid} says {sender.message.message_type}")
    # No command waits: an empty answer ends the conversation.
    return ""


@app.get("/health")
def health() -> str:
    """Anybody may ask whether the server is up."""
    return "up\n"


guard = Guard(
    DeviceTrust(load_anchors([os.environ["DEVICE_CA"]])),
    SqlitePinStore(Path(os.environ.get("PINS", "pins.sqlite"))),
)
app.wsgi_app = WsgiMiddleware(app.wsgi_app, guard, unguarded=["/health"])  # type: ignore[method-assign]
