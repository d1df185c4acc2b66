"""What ``keraserve`` does; one module per family of commands, joined by ``app.cli``.

``serve``
    Runs the server.
``tune``
    Measures what suits a model on this machine.
``admin``
    ``models load``, ``unload``, ``rollback``, …: orders to a running server.
``export``
    ``models export``: a version once more, for hosts without a GPU.
``store``
    ``models list``, ``check`` and ``label``: on the folder of a store.
``keys``
    ``keys create``, ``list`` and ``revoke``: on the file of API keys.
"""
