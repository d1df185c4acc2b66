"""Brings networks that were trained elsewhere into the store.

``options``
    What the command is told, checked before any file is opened.
``source_folder``
    What a folder may hold that is imported.
``keras_config``
    Looks into ``.keras`` and ``.h5`` files for code, before Keras opens them.
``keras_network``
    Loads such a file, and puts preprocessing and softmax around it as layers.
``object_graph``
    Looks into a SavedModel for what would run while it is loaded.
``saved_model``
    Loads a SavedModel, and makes one frozen graph of it, with preprocessing and softmax.
``samples``
    The pictures that the self-test of the version will run.
``importer``
    From the file to a published version.
"""
