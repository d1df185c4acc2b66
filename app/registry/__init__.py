"""Which versions exist, which are to be served, and which are.

``store``
    What is on disk. Blocking.
``version_policy``
    Which versions on disk are wanted. Pure.
``loader``
    How a version is brought in and out: a Protocol that ``lifecycle`` implements with an engine
    and a batcher, of which nothing here knows.
``status``
    What the manager tells about models and versions.
``version_table``
    The versions of one model, their states and its default. Bookkeeping only.
``manager``
    Brings versions in and out, and says which of them answers a request.
"""
