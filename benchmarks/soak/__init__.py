"""Many requests of every kind, while versions come and go: does anything fail, grow or stay behind?

``python -m benchmarks.soak`` (``make soak``).

``mix``
    The kinds of requests, how often each is sent, and which answers are right.
``clients``
    Connections that send them, one request at a time each.
``census``
    What the server holds: memory, threads, descriptors, tasks.
``counting_server``
    ``keraserve serve`` that writes down its tasks when it is asked to.
``swapping``
    Versions, good and broken, that are published meanwhile.
``run``
    The parts in their order.
``document``
    The tables in a document.
``findings``
    What was found, as a table and as verdicts.
"""
