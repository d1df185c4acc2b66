"""Runs the application in this process: socket, signals, grace and drain, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from app.api.connections import connection_options
from app.errors import ServerFaultError
from app.imaging.quiet import quieten_pillow
from app.lifecycle import Lifecycle
from app.logging import configure_logging
from app.main import create_app
from app.settings import ENV_PREFIX, Settings
from app.turns import take_turns

logger = logging.getLogger(__name__)

# A signal to the whole process group reaches the server twice when a parent such as make passes its
# own on; only a later one is meant to cut the grace short.
_REPEAT_S = 1.0
# Connections that the kernel holds for a busy event loop; it lowers this to net.core.somaxconn,
# 4,096 by default. Whose connection does not fit tries again after a second, and would be refused
# that late: with uvicorn's 2,048, 3,000 clients that came at once were.
_BACKLOG = 65_535
# After everything has been answered and closed, threads have nothing to do but to end.
_HANGING_AFTER_S = 2.0
# Objects until the next collection, by generation. A request leaves hardly any cycles behind, and
# with Python's 700, some ten requests, looking for them took a twentieth of the time of each.
_COLLECT_AFTER = (50_000, 20, 100)


class AddressError(ServerFaultError):
    """The address cannot be listened on; the message names it and its settings."""


class DrainingServer(uvicorn.Server):
    """Uvicorn that turns readiness off first, finishes what it accepted, and ends with 0.

    First SIGTERM or SIGINT: readiness off, and after ``grace_s`` (at once when 0) new work is
    refused and the listener closes. A later signal skips what is left of the grace. Uvicorn
    then waits for running requests up to its ``timeout_graceful_shutdown``.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, grace_s: float) -> None:
        """``grace_s``: how long to go on accepting after the first signal."""
        super().__init__(config)
        self._lifecycle = lifecycle
        self._grace_s = grace_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first_signal_s: float | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike the base, do not raise them again afterwards.

        Raised again, SIGTERM would end the process with a signal although it drained cleanly.
        """
        self._loop = asyncio.get_running_loop()
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, or stop without the rest of the grace."""
        loop = self._loop
        if loop is None:  # a signal before the loop runs: nothing was accepted
            self.should_exit = True
            return
        name, now_s = signal.Signals(sig).name, time.monotonic()
        if self._first_signal_s is None:
            self._first_signal_s = now_s
            loop.call_soon_threadsafe(self._begin if self._grace_s else self._refuse, name)
        elif now_s - self._first_signal_s > _REPEAT_S:
            loop.call_soon_threadsafe(self._refuse, name)

    def _begin(self, name: str) -> None:
        logger.info("draining", extra={"signal": name, "grace_s": self._grace_s})
        self._lifecycle.begin_drain()
        assert self._loop is not None, "set before any handler"
        self._loop.call_later(self._grace_s, self._refuse, name)

    def _refuse(self, name: str) -> None:
        if not self.should_exit:
            in_flight = len(self.server_state.tasks)
            logger.info("stopping", extra={"signal": name, "in_flight_requests": in_flight})
        self._lifecycle.refuse()
        self.should_exit = True


def serve(settings: Settings) -> int:
    """Serve until a signal; return the exit code: 0 when everything accepted was answered.

    Raises:
        AddressError: The address is in use or not this machine's.
    """
    configure_logging(settings.log_level, settings.log_format)
    _allow_descriptors()
    take_turns()
    quieten_pillow()
    gc.set_threshold(*_COLLECT_AFTER)
    app = create_app(settings)
    lifecycle: Lifecycle = app.state.lifecycle
    listeners = _listen_at_all(settings, lifecycle)
    config = uvicorn.Config(
        app,
        **connection_options(app.state, settings.patience_policy()),
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive_timeout_s,
        # At least 1: uvicorn counts in whole seconds.
        timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout_s)),
    )
    server = DrainingServer(config, lifecycle, settings.shutdown_grace_s)
    roles = ("listening", "listening for administration")
    for listener, role in zip(listeners, roles, strict=False):
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if lifecycle.certificate is None else "https"
        logger.info(role, extra={"url": f"{scheme}://{shown}:{port}"})
    server.run(sockets=listeners)
    exit_code = 0 if lifecycle.is_drained else 1
    if not lifecycle.is_drained:
        logger.error("stopped before everything was finished")
    _leave_what_hangs(exit_code)
    return exit_code


def _allow_descriptors() -> None:
    """Take as many descriptors as this user may have; by default shells give 1,024 of them.

    Each connection is one: without it, a thousand idle ones would keep everybody else out.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS: no more than the kernel's maximum
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_what_hangs(exit_code: int) -> None:
    """End the process although a thread of it does not end: a load that hangs, say.

    Python would wait for it at its own end, for ever, and the service would be killed in the end,
    with another exit code.
    """
    waiting = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    by_s = time.monotonic() + _HANGING_AFTER_S
    for thread in waiting:
        thread.join(max(by_s - time.monotonic(), 0))
    left = [thread.name for thread in waiting if thread.is_alive()]
    if left:
        logger.error("threads do not end, leaving them", extra={"threads": left})
        logging.shutdown()
        os._exit(exit_code)


def _listen_at_all(settings: Settings, lifecycle: Lifecycle) -> list[socket.socket]:
    """Listen at the port and, where there is one, at the admin port, which is told to the parts."""
    listeners = [_listen(settings.host, settings.port, "")]
    if settings.admin_port is not None:
        host = settings.host if settings.admin_host is None else settings.admin_host
        listeners.append(_listen(host, settings.admin_port, "ADMIN_"))
        lifecycle.admin_port = listeners[-1].getsockname()[1]
    return listeners


def _listen(host: str, port: int, prefix: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressError(
            f"cannot listen on {host}:{port} ({ENV_PREFIX}{prefix}HOST, "
            f"{ENV_PREFIX}{prefix}PORT): "
            f"{error.strerror or error}"
        ) from error
    return listener
