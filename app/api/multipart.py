"""Collects the files of one multipart body, chunk by chunk."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.errors import (
    InvalidRequestError,
    MalformedRequestError,
    TooManyImagesError,
    UploadTooLargeError,
)

# Of one part: boundary, Content-Disposition with a long file name, Content-Type. Browsers send
# about 200 bytes, and the parser takes at most 8 header lines of 4 KiB.
FRAMING_BYTES = 16 * 1024

_MAX_SHOWN_NAME = 80


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What one multipart body may carry.

    Attributes:
        part: Name of the parts that are files; there may be no others.
        max_files: Most of them.
        too_many: What the caller of one more is told.
        max_file_bytes: Largest single one.
    """

    part: str
    max_files: int
    too_many: str
    max_file_bytes: int

    @property
    def max_body_bytes(self) -> int:
        """What a body within these limits cannot exceed."""
        return self.max_files * (self.max_file_bytes + FRAMING_BYTES)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a request; ``filename`` as the client sent it, never used as a path."""

    filename: str | None
    content: bytes


@dataclass(slots=True)
class _Part:
    filename: str | None
    # Not a list of chunks: a client that sends byte by byte would make it forty times the file.
    # Its getvalue() gives the bytes without another copy.
    content: io.BytesIO = field(default_factory=io.BytesIO)


class FilesReader:
    """Takes the body of one request in chunks of any size and gives its files.

    Bound: it holds what ``FormLimits`` allows and one chunk. Whatever it raises, it is of no
    further use, and the rest of the body need not be read. However it ends, ``close()`` it.
    """

    def __init__(self, boundary: bytes, limits: FormLimits) -> None:
        """Begin a body.

        Raises:
            MalformedRequestError: The boundary is longer than any client's.
        """
        self._limits = limits
        self._parts: list[_Part] = []
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._is_complete = False
        self._body_bytes = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_begin": self._header_begins,
                    "on_header_field": self._header_name_came,
                    "on_header_value": self._header_value_came,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data_came,
                    "on_end": self._body_ends,
                },
            )
        except FormParserError as error:
            raise MalformedRequestError(f"The multipart boundary is unusable: {error}.") from error

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            MalformedRequestError: It is no multipart body.
            InvalidRequestError: It has a part of another name.
            TooManyImagesError: One file more than the limit begins.
            UploadTooLargeError: A file, or everything together, exceeds its limit.
        """
        self._body_bytes += len(chunk)
        check_body_size(self._body_bytes, self._limits)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequestError(f"The multipart body is broken: {error}.") from error

    def finish(self) -> list[Upload]:
        """Return the files in order, once the whole body has been taken.

        Raises:
            MalformedRequestError: The body ends before its closing boundary.
            InvalidRequestError: It has no file.
        """
        if not self._is_complete:
            raise MalformedRequestError("The multipart body ends before its closing boundary.")
        if not self._parts:
            raise InvalidRequestError(f"There is no part {self._limits.part!r} in the request.")
        return [Upload(part.filename, part.content.getvalue()) for part in self._parts]

    def close(self) -> None:
        """Let go of the parser; nothing can be fed any more.

        It knows its reader, and the reader its files: a cycle that would keep each body until the
        garbage collector comes, which counts objects, not megabytes.
        """
        del self._parser

    # Called by the parser, in this order for each part; names and values may come in pieces.

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_begins(self) -> None:
        self._header_name = self._header_value = b""

    def _header_name_came(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_came(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_ends(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value

    def _headers_end(self) -> None:
        limits = self._limits
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if name is None:
            raise MalformedRequestError("A part of the multipart body has no name.")
        if name != limits.part.encode():
            shown = name.decode("utf-8", "replace")[:_MAX_SHOWN_NAME]
            raise InvalidRequestError(
                f"There is a part {shown!r}; this route takes {limits.part!r} only. "
                "Parameters go into the query string."
            )
        if len(self._parts) == limits.max_files:
            raise TooManyImagesError(limits.too_many)
        filename = options.get(b"filename")
        self._parts.append(_Part(None if filename is None else filename.decode("utf-8", "replace")))

    def _data_came(self, data: bytes, start: int, end: int) -> None:
        content = self._parts[-1].content
        check_file_size(content.tell() + end - start, self._limits.max_file_bytes)
        content.write(memoryview(data)[start:end])

    def _body_ends(self) -> None:
        self._is_complete = True


def check_file_size(size_bytes: int, limit_bytes: int) -> None:
    """Refuse a file of which ``size_bytes`` have come, or are announced.

    Raises:
        UploadTooLargeError: It exceeds the limit.
    """
    if size_bytes > limit_bytes:
        raise UploadTooLargeError(
            f"The file has at least {size_bytes:,} bytes; the limit is {limit_bytes:,} "
            "(KERASERVE_MAX_UPLOAD_BYTES)."
        )


def check_body_size(size_bytes: int, limits: FormLimits) -> None:
    """Refuse a body of which ``size_bytes`` have come, or are announced.

    Raises:
        UploadTooLargeError: It exceeds what files within the limits can need.
    """
    if size_bytes > limits.max_body_bytes:
        files = f"{limits.max_files:,} files" if limits.max_files > 1 else "one file"
        raise UploadTooLargeError(
            f"The body has at least {size_bytes:,} bytes; the limit is {files} of "
            f"{limits.max_file_bytes:,} bytes (KERASERVE_MAX_UPLOAD_BYTES)."
        )
