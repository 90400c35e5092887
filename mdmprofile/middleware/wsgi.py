"""WSGI middleware: PEP 3333."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from mdmprofile.errors import MdmprofileError
from mdmprofile.middleware.answers import Answer, answer_to, too_large
from mdmprofile.middleware.base import Guarded
from mdmprofile.middleware.guard import SIGNATURE, Headers

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_PIECE = 64 * 1024
# Digits of a length that is too large for sure.
_LONGEST = 20


class WsgiMiddleware(Guarded[Application]):
    """Lets only those messages through to a WSGI application that are from the device they name.

    The application finds the ``Sender`` in ``environ["mdmprofile.sender"]`` and the UDID or EnrollmentID in
    ``environ["mdmprofile.udid"]``, and reads the body as always. The options are those of ``Guarded``.
    """

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, as the specification says."""
        if f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}" in self._unguarded:
            return self._app(environ, start_response)
        headers = self._headers(environ)
        try:
            body = self._body(environ)
            sender = self._guard.judge(headers, body)
        except MdmprofileError as error:
            answer = _answer(start_response, answer_to(error, headers, self._unenroll))
            # Servers send what they are given; a proxy would take it for the answer to the next request.
            return () if environ.get("REQUEST_METHOD") == "HEAD" else answer
        environ["mdmprofile.sender"] = sender
        environ["mdmprofile.udid"] = sender.udid
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        return self._app(environ, start_response)

    def _headers(self, environ: Environ) -> Headers:
        proxy = self._guard.proxy
        return Headers(
            _values(environ, SIGNATURE), _values(environ, proxy.header) if proxy else (), environ.get("REMOTE_ADDR")
        )

    def _body(self, environ: Environ) -> bytes:
        stated = environ.get("CONTENT_LENGTH") or ""
        if stated:
            # Zeros before it are no bytes; nor is it read whole before it is known to be short.
            digits = stated.lstrip("0")[:_LONGEST] or "0"
            if not (stated.isascii() and stated.isdigit()) or int(digits) > self._most:
                raise too_large(self._most)
            return _read(environ["wsgi.input"], int(digits))
        # Without a length there is an end to the stream only where the server says so.
        if not environ.get("wsgi.input_terminated"):
            return b""
        body = _read(environ["wsgi.input"], self._most + 1)
        if len(body) > self._most:
            raise too_large(self._most)
        return body


def _values(environ: Environ, header: str) -> tuple[bytes, ...]:
    """The header's value; several of one name come as one with commas, which nothing accepts."""
    value = environ.get(f"HTTP_{header.upper().replace('-', '_')}")
    return () if value is None else (value.encode("latin-1", "replace"),)


def _read(stream: Any, most: int) -> bytes:  # noqa: ANN401 - any object with read
    """At most so many bytes: a stream may give fewer than it is asked for."""
    pieces = []
    while most > 0 and (piece := stream.read(min(most, _PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _answer(start_response: StartResponse, answer: Answer) -> Iterable[bytes]:
    headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    start_response(f"{answer.status} {answer.reason}", headers)
    return [answer.body]
