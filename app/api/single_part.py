"""The usual upload, a form of one small part that arrives in one piece, without a parser's steps.

What clients send for ``-F file=@cat.png`` is found by three searches in the body; feeding it to
the parser takes ten times as long (``benchmarks/README.md``). Whatever looks in the least unusual
is left to ``FilesReader``, which also says what is wrong with it.
"""

from __future__ import annotations

import re

# RFC 7578 asks for multipart/form-data with a boundary, RFC 2046 says what one is made of.
_CONTENT_TYPE = re.compile(
    rb'multipart/form-data; ?boundary=("?)([0-9A-Za-z\'()+_,\-./:=?]{1,70})\1', re.IGNORECASE
)

# The headers of one part, as browsers, curl, requests, httpx and Java's clients write them. Escapes
# and character sets in the file name are the parser's business, as are all other headers, and file
# names longer than any file system's: the parser refuses headers of more than 4 KiB.
_TYPE = rb"(?:Content-Type: [!-~][ -~]{0,126}\r\n)?"
_PART_HEADERS = re.compile(
    _TYPE + rb'Content-Disposition: form-data; name="([A-Za-z0-9_]+)"'
    rb'(?:; filename="[^"\\\r\n]{0,1024}")?\r\n' + _TYPE + rb"\r\n",
    re.IGNORECASE,
)


def boundary_of(content_type: bytes) -> bytes | None:
    """Return the boundary that a usual ``Content-Type`` of a form names; None for any other."""
    found = _CONTENT_TYPE.fullmatch(content_type)
    return None if found is None else found[2]


def single_part(body: bytes, boundary: bytes, part: str) -> bytes | None:
    """Return the content of the only part of a whole body, if it is plainly that; else None.

    Args:
        body: All of it.
        boundary: From its ``Content-Type``.
        part: What the part must be named.
    """
    delimiter = b"\r\n--" + boundary
    opening = len(delimiter)
    if not body.startswith(delimiter[2:] + b"\r\n"):
        return None
    headers = _PART_HEADERS.match(body, opening)
    if headers is None or headers[1] != part.encode("ascii"):
        return None
    start = headers.end()
    # From before the content: an empty one ends with the line break of the headers.
    end = body.find(delimiter, start - 2)
    if end < start or body[end + len(delimiter) :] not in (b"--\r\n", b"--"):
        return None
    return body[start:end]
