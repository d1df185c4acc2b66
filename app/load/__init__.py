"""Load on an HTTP server, and what comes of it: the generator behind ``keraserve bench``.

``requests``
    Requests as bytes, made before anything is measured.
``answer``
    As much of an answer as a measurement needs: its status, and where it ends.
``connection``
    One keep-alive connection, and how it is opened.
``arrivals``
    When the requests of an open loop are due.
``alarm``
    Wakes the event loop at a point in time, more finely than its own timers where it can.
``closed_loop``, ``open_loop``
    Who sends when: as soon as the last answer is there, or when it is due.
``recorder``
    What is kept of each request, and the figures that are made of it.
``measuring``
    One measurement: warm-up, window, the last answers.
``target``
    The server: where it is, whether it is ready, what it counts itself (``counters``).
``study``
    One measurement after the other, from one client to more than the server can take.
``knee``
    Up to which rate it holds what it promises.
``report``, ``plot``
    What was found: tables, a sentence, JSON; a picture (drawn by ``chart``).
"""
