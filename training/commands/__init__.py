"""The commands of ``keraserve-train``: one module each, ``add_parser`` and ``handle``.

``run``
    Train, evaluate and publish a configuration.
``evaluate``
    Judge a published version anew.
``import_model``
    Publish a network that was trained elsewhere.
``upgrade``
    Publish a version once more, with what newer releases add.
``samples``
    Make the labelled samples that the service shows of a model.
``versions``
    List, show, compare and remove published versions.
``sign``, ``keygen``
    Vouch for published versions with a key; make the key.

Keras is imported inside ``handle`` only: help and wrong arguments are answered at once.
"""

PROGRAM = "keraserve-train"

OK = 0
UNUSABLE_INPUT = 2
"""Also what argparse uses for wrong arguments."""
GATE_FAILED = 3
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
