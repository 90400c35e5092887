"""Middleware for MDM servers in Python: no message reaches the application that is not from the device it names.

``AsgiMiddleware`` and ``WsgiMiddleware`` need no framework; both ask a ``Guard``.
"""

from __future__ import annotations

from mdmprofile.middleware.asgi import AsgiMiddleware
from mdmprofile.middleware.guard import Guard, Sender
from mdmprofile.middleware.proxies import ProxyCertificates
from mdmprofile.middleware.wsgi import WsgiMiddleware

__all__ = ["AsgiMiddleware", "Guard", "ProxyCertificates", "Sender", "WsgiMiddleware"]
