"""ASGI middleware: https://asgi.readthedocs.io/en/latest/specs/www.html."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mdmprofile.errors import MdmprofileError
from mdmprofile.middleware.answers import LOGGER, Answer, answer_to, too_large
from mdmprofile.middleware.base import Guarded
from mdmprofile.middleware.guard import SIGNATURE, Headers, Sender

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiMiddleware(Guarded[Application]):
    """Lets only those messages through to an ASGI application that are from the device they name.

    The application finds the ``Sender`` in ``scope["mdmprofile.sender"]`` and the UDID or EnrollmentID in
    ``scope["mdmprofile.udid"]``, and reads the body as always. The options are those of ``Guarded``; web sockets are
    refused. It runs on asyncio.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as the specification says."""
        if scope["type"] == "websocket":
            LOGGER.warning("refused a web socket: messages of devices come by HTTP")
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or scope["path"] in self._unguarded:
            await self._app(scope, receive, send)
            return
        headers = self._headers(scope)
        try:
            body = await self._body(scope, receive)
            if body is None:
                return
            sender = await self._judged(headers, body)
        except MdmprofileError as error:
            await _answer(send, answer_to(error, headers, self._unenroll))
            return
        scope = {**scope, "mdmprofile.sender": sender, "mdmprofile.udid": sender.udid}
        await self._app(scope, _again(body, receive), send)

    async def _judged(self, headers: Headers, body: bytes) -> Sender:
        guard = self._guard
        if guard.is_quick(body):
            sender = guard.verified(headers, body)
        else:
            sender = await asyncio.to_thread(guard.verified, headers, body)
        if guard.pins_quickly(sender):
            guard.pinned(sender)
        else:
            await asyncio.to_thread(guard.pinned, sender)
        return sender

    def _headers(self, scope: Scope) -> Headers:
        proxy = self._guard.proxy.header.encode() if self._guard.proxy else b""
        signatures, certificates = [], []
        for name, value in scope["headers"]:
            # Names are in lower case already, as the specification says.
            if name == _SIGNATURE:
                signatures.append(value)
            elif name == proxy:
                certificates.append(value)
        client = scope.get("client")
        return Headers(signatures, certificates, str(client[0]) if client else None)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when the client has gone. Raises ``MessageFormatError`` when it is too large."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value[:20]) > self._most):
                raise too_large(self._most)
        # Not a list of pieces: those of a byte each take sixty times as much.
        whole = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            if len(whole) + len(piece) > self._most:
                raise too_large(self._most)
            if not message.get("more_body", False):
                return bytes(whole + piece) if whole else bytes(piece)
            whole += piece


_SIGNATURE = SIGNATURE.encode()


def _again(body: bytes, receive: Receive) -> Receive:
    """The body for the application, once; then what comes after it."""
    left = [body]

    async def repeat() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return repeat


async def _answer(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        # What is left of a body that nobody read is no next request.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
