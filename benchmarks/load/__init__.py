"""The load generator of ``app.load`` with the CPU time that server and generator use meanwhile.

``python -m benchmarks.load`` measures once and prints JSON; ``fixed_answer`` is the server that
shows how fast the generator itself is.
"""
