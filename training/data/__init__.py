"""Data sets in memory: which layouts there are, and how they become three parts.

- ``dataset``: the records, ``Split``, ``SourceData`` and ``Dataset``, and the one error.
- ``loading``: recognises what lies at ``--data``, calls the reader of its layout, and checks what
  comes back. The one entrance.
- ``class_folders``, ``png_archive``, ``idx``, ``npz``, ``public``: a reader per layout; the last
  one downloads.
- ``test_sets``, ``downloads``: the test images of the public sets alone, without Keras; checked.
- ``file_tree``: a folder or an archive of images, looked at as one thing.
- ``decoding``: encoded files to pixels, by several threads; leaves unreadable ones out.
- ``arrays``: arrays of pixels and labels, checked and brought to the network's size.
- ``class_names``: which names the classes have, and in which order.
- ``rows``: work on every row of a long array, with threads and a progress bar, within memory.
- ``splits``: takes validation and test images out of the training ones where a set has none.
- ``duplicates``: finds the images that stand in two parts.
"""
