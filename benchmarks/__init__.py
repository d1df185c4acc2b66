"""Keraserve beside a hand-written FastAPI server, on this machine, at one command.

``python -m benchmarks`` (``make bench``). Nothing here is collected by the tests or imported by
the service.

``comparison``
    The rounds: who is loaded when, and what is read before and after.
``servers``
    A server as a process: start, readiness, pause, stop, the end of its log.
``load``
    The load generator of ``app.load``, a process of its own.
``pictures``
    The images that are sent, made by code.
``agreement``
    That both servers give the same answers.
``saved_model``
    The published network in the form that the peer reads.
``processors``
    CPU time of a process and of the whole machine, and what the machine is.
``report``
    Tables, ratios and verdicts, as text, Markdown and JSON.
``soak``
    Many requests of every kind: what fails, grows or stays behind.
``peers``
    What Keraserve is measured against.
"""
