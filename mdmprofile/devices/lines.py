"""The lines of a text file of any size, decoded piece by piece."""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

from mdmprofile.errors import InputError

MAX_ROW = 1024 * 1024
_PIECE = 64 * 1024
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class Lines(Iterator[str]):
    """Each line with its end, which is LF, CRLF or CR, as the file has it.

    ``number`` is that of the last line handed out, counted from 1. ``size`` is how many characters were handed out
    since the caller last set it to 0, so that a row of several lines is bounded like one.

    The file is UTF-8 or, by its byte-order mark, UTF-16, unless ``encoding`` names another. Raises ``InputError`` with
    the line for what is not text, and for a row of more than 1 MiB.
    """

    def __init__(self, stream: BinaryIO, *, source: str, encoding: str | None = None) -> None:
        self.number = 0
        self.size = 0
        self._stream = stream
        self._source = source
        self._encoding = encoding
        self._rest = ""
        self._counted = self._count()

    def __next__(self) -> str:
        return next(self._counted)

    def _count(self) -> Iterator[str]:
        for line in self._split():
            size = self.size + len(line)
            if size > MAX_ROW:
                raise self._too_long()
            self.number += 1
            self.size = size
            yield line

    def _too_long(self) -> InputError:
        return InputError(
            f"a row is longer than {MAX_ROW // 1024:,} KiB",
            where=f"{self._source}:{self.number + 1}",
            hint="check that it is the right file, and that every quote is closed",
        )

    def _split(self) -> Iterator[str]:
        for text in self._decoded():
            lines = _lines_of(self._rest + text)
            # Behind a CR there may be an LF in the next piece.
            self._rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
            yield from lines
            if self.size + len(self._rest) > MAX_ROW:
                raise self._too_long()
        yield from _lines_of(self._rest)

    def _decoded(self) -> Iterator[str]:
        data = self._read()
        if data.startswith(_SPREADSHEETS):
            raise InputError("is a spreadsheet, not a text file", where=self._source, hint="save it as CSV in UTF-8")
        encoding = self._encoding or _by_mark(data)
        decoder = self._decoder(encoding)
        done = 0
        while True:
            try:
                text = decoder.decode(data, not data)
            except UnicodeError as error:
                raise self._undecodable(error, encoding, done + len(data)) from None
            yield text if done else text.removeprefix("\ufeff")
            if not data:
                return
            done += len(data)
            data = self._read()

    def _read(self) -> bytes:
        try:
            return self._stream.read(_PIECE)
        except OSError as error:
            hint = "check its path and permissions"
            raise InputError(f"cannot be read: {error.strerror}", where=self._source, hint=hint) from None

    def _decoder(self, encoding: str) -> codecs.IncrementalDecoder:
        try:
            # Some of Python's codecs decode no text, and this refuses them.
            io.TextIOWrapper(io.BytesIO(), encoding=encoding)
            return codecs.getincrementaldecoder(encoding)()
        except (LookupError, ValueError):
            hint = "name one such as cp1252"
            raise InputError(f"the encoding {encoding!r} is not known", where=self._source, hint=hint) from None

    def _undecodable(self, error: UnicodeError, encoding: str, done: int) -> InputError:
        """The error with the line; ``done`` is how many bytes were read when it came up."""
        before, byte = self._rest, ""
        if isinstance(error, UnicodeDecodeError):
            with contextlib.suppress(UnicodeError):
                before += error.object[: error.start].decode(encoding, "ignore")
            byte = f" (byte {done - len(error.object) + error.start})"
        return InputError(
            f"is not text in {encoding.upper()}{byte}",
            where=f"{self._source}:{self.number + len(_lines_of(before + '?'))}",
            hint="save it as UTF-8, or give its encoding with --encoding",
        )


def _lines_of(text: str) -> list[str]:
    """The text cut behind every LF, CRLF and CR; ``splitlines`` would cut in a dozen other places too."""
    return io.StringIO(text, newline="").readlines()


def _by_mark(data: bytes) -> str:
    """The encoding that the byte-order mark tells of."""
    if data.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    return "utf-16-be" if data.startswith(codecs.BOM_UTF16_BE) else "utf-8"
