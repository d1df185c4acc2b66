"""The graph of a function, executed by several threads at a time, each on its share of the cores.

TensorFlow 2 has one pool of threads for all functions of a process: two executions share it, and
wait for each other as one execution's threads do. Sessions, which it has kept from TensorFlow 1,
can have pools of their own (``TF_OVERRIDE_GLOBAL_THREADPOOL``, read by ``LocalDevice`` in
TensorFlow's ``core/common_runtime/local_device.cc``); what they execute is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import tensorflow as tf

from app.types import ImageArray, ScoreArray

Call: TypeAlias = Callable[[ImageArray], ScoreArray]
"""Executes ``(N, H, W, C)`` uint8, N an allowed size, → ``(N, K)`` float32."""


def let_sessions_have_threads() -> None:
    """Have each session get a pool of its own; before the first use of TensorFlow only."""
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")


class GraphStreams:
    """A function's graph and weights once more, in sessions; several threads may call.

    With one thread for each execution, the caller's own executes it, and all share one session:
    the weights are there once. With more, each has a session, pool and weights of its own.
    """

    def __init__(self, function: Any, count: int, threads: int) -> None:
        """Copy the graph of a concrete function of one input and one output.

        Args:
            function: With constants in place of variables.
            count: Executions at a time.
            threads: Cores that each of them takes, at least 1.
        """
        self._sessions = [_session(function, threads) for _ in range(count if threads > 1 else 1)]
        feeds, fetch = [function.inputs[0].name], function.outputs[0].name
        made = [session.make_callable(fetch, feed_list=feeds) for session in self._sessions]
        self.calls: list[Call] = made if threads > 1 else made * count

    def close(self) -> None:
        """Drop graph, weights and pools; nothing may be executing."""
        self.calls = []  # before their sessions: they let go of them
        for session in self._sessions:
            session.close()
        self._sessions = []


def _session(function: Any, threads: int) -> Any:
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(function.graph.as_graph_def(), name="")
    config = v1.ConfigProto(
        intra_op_parallelism_threads=threads,
        # Operations one after the other, in the caller's thread; with threads that begin them
        # (``use_per_session_threads``) they would go there.
        inter_op_parallelism_threads=-1,
        device_count={"GPU": 0},
        # The graph stays as it is: the session need not keep its weights twice.
        experimental=v1.ConfigProto.Experimental(
            optimize_for_static_graph=True, disable_output_partition_graphs=True
        ),
    )
    return v1.Session(graph=graph, config=config)
