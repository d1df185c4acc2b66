"""Connections whose clients are slow: each part of a request and of its answer has its time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal, TypeAlias

from app.api.head_limit import BoundedHeadProtocol
from app.patience import PatiencePolicy

logger = logging.getLogger(__name__)

Part: TypeAlias = Literal["head", "body"]


class PatientProtocol(BoundedHeadProtocol):
    """One connection whose client may take its time for each part, but not for ever.

    Head: the connection is closed ``header_s`` after it was made, or after the first byte of a
        head, if the head is not whole then.
    Body: likewise ``body_s`` after the head. The application is told that the client has left.
    Answer: ``write_s`` after the buffers were full, or after the connection was to be closed, if
        nothing or not all was read since then, it is cut.
    Others: time in which the server does not read, or has an answer before to give, does not count.
    Cost: requests that come in one piece set no timer, but for the first of a connection.
    """

    def __init__(self, *args: Any, patience: PatiencePolicy, **kwargs: Any) -> None:
        """Be told by uvicorn of a connection."""
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._part: Part | None = None  # of a request that is being received
        self._part_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._part = "head"
        self._time_part()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._part = None
        self._end_part()
        self._end_write()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._part = "head"

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._time_write()

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._end_write()

    def on_response_complete(self) -> None:
        """Wait for an answer to be read that is the last one."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._time_write()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, and wait for what was answered before to be read."""
        super().send_400_response(msg)
        self._time_write()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and wait for what it has not read."""
        super().timeout_keep_alive_handler()
        self._time_write()

    def _end_part(self) -> None:
        """Stop waiting for a part; only to be called where there is a timer, which costs less."""
        if self._part_timer is not None:
            self._part_timer.cancel()
            self._part_timer = None

    def _wait_for_rest(self) -> None:
        """See to a part that is not whole."""
        if self._part_timer is None and not self.transport.is_closing():
            self._time_part()

    def _time_part(self) -> None:
        self._part_timer = self.loop.call_later(self._allowed_s, self._part_is_late)

    @property
    def _allowed_s(self) -> float:
        return self._patience.header_s if self._part == "head" else self._patience.body_s

    def _part_is_late(self) -> None:
        self._part_timer = None
        if self.transport.is_closing():
            return
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or self.pipeline or (self._part == "head" and is_busy):
            self._time_part()  # what is before it goes first
            return
        logger.info("client too slow", extra={"part": self._part, "limit_s": self._allowed_s})
        self.transport.close()
        self._time_write()

    def _time_write(self) -> None:
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(self._patience.write_s, self._write_is_late)

    def _end_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _write_is_late(self) -> None:
        self._write_timer = None
        logger.info("client too slow", extra={"part": "answer", "limit_s": self._patience.write_s})
        # uvloop lets the answer go on before it tells that the connection is lost: written to what
        # is closed, it would be a fault of ours, with its traceback.
        self.note_left()
        self.transport.abort()
