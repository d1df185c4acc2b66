"""What ``keraserve`` does; one module per family of commands, joined by ``app.cli``.

``serve``
    Runs the server.
``classify``
    Labels images on disk, in its own process or through a server.
``tune``
    Measures what suits a model on this machine.
``admin``
    ``models load``, ``unload``, ``rollback``, …: orders to a running server.
``bench``
    Measures a running server.
``export``
    ``models export``: a version once more, for hosts without a GPU.
``stored_version``
    Which version of the store a command means.
``store``
    ``models list``, ``check`` and ``label``: on the folder of a store.
``keys``
    ``keys create``, ``list`` and ``revoke``: on the file of API keys.
"""
