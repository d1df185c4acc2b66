"""The contract between training, which writes versions, and the service, which reads them.

``layout``
    Names of the files in a version folder.
``manifest``
    ``manifest.json`` as a typed record.
``statistics``
    The part of it that drift is measured against.
``record``
    What all its parts have in common.
``pixels``
    Brightness and contrast, measured alike in training and when serving.
``checksums``
    SHA-256 of files, and the comparison of a folder with its manifest.
``limits``
    How much a version may ask for before anything of it is unpacked.
``archive``, ``keras_file``, ``weights_file``
    Look into zip archives, ``.keras`` files and weights before anybody opens them.
``plain_file``
    Reads small files that may be links, pipes or endless.
``signatures``
    ``signatures.json``: who vouches for a version.
``trust``
    Which of them a server wants.
``signing_keys``
    The files of keys for both.
``samples``
    ``samples.npz``: what the self-test runs.
``labelled_samples``
    Images with the classes that a data set gives them: of a version, or of a file of their own.
``array_file``
    Reads both, whatever is in them.
``graph_operations``
    What a frozen TensorFlow graph may be made of.
``publish``
    A new version, complete or not at all.
"""
