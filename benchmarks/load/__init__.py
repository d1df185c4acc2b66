"""A load generator: N clients on keep-alive connections, each sends when its answer is there.

``python -m benchmarks.load`` measures once and prints JSON; ``fixed_answer`` is the server that
shows how fast the generator itself is.
"""
