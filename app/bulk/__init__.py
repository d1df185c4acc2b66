"""Classifies any number of files, in this process or through a server; memory stays flat.

``inputs``
    From paths, folders and patterns to files, in one order.
``records``
    What became of one file.
``local``, ``remote``
    The two ways to an answer. Each yields results in the order of the files, and holds a bounded
    number of images.
``formats``, ``result_file``
    Results as text, and where it goes: whole files, or files that a later run goes on with.
``tally``
    Counts, accuracy and speed of a run.
``stopping``
    Ctrl-C, between two results.
"""
