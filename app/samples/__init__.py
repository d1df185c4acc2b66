"""The labelled samples of the models that are served, for whoever wants to try them.

``library``
    ``SampleLibrary``: finds the samples of a model, off the event loop and within bounds.
``shelf``
    ``SampleShelf``: reads files of samples once, and again when they change.
"""
