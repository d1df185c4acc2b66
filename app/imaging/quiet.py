"""Keeps what uploads make Pillow say out of the process's log."""

from __future__ import annotations

import logging
import warnings

from PIL import Image


def quieten_pillow() -> None:
    """Ignore Pillow's warnings about image content, and its log; for the start of a service.

    Every distinct warning is printed and remembered for ever, and the texts of the TIFF reader
    contain numbers from the upload: without this filter strangers can fill the log and the
    memory. The errors that matter reach the caller as exceptions. This changes the whole
    process, so it belongs to whoever owns the process, not to an import.
    """
    for category in (UserWarning, Image.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
