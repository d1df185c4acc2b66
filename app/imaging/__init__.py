"""Bytes to pixels and back: formats, limits, orientation, colour, resize.

``decoder``
    ``decode_image``: the one way from an encoded image to a uint8 array, used by the service for
    uploads and by training for files, so that both see the same pixels. Owns the errors.
``container``
    Which format the bytes are, and the header of the image: size, depth, orientation. Owns the
    limits that hold before any pixel is decoded.
``plain``
    The short way for small, ordinary PNG and JPEG files: the same pixels in about half of the time.
``jpeg``, ``png``, ``webp``, ``tiff``, ``gif``
    What of these files Pillow should not see, or must not see unchecked.
``effort``, ``jpeg_scans``
    How long decoding will take, told from headers, and the limit on it.
``vp8l``, ``huffman``
    How many tables of codes a lossless WebP brings, which only its stream tells.
``directory``
    What of a TIFF or EXIF directory is needed: where it is, the orientation.
``color``
    Any Pillow mode to 8 bits, grey or RGB, without alpha.
``resize``
    Any size to the size of the network, and how much of a big JPEG may be left undecoded.
``encoder``
    ``encode_png``: pixels back to a file.
``quiet``
    ``quieten_pillow``: keeps what uploads make Pillow say out of the log.
"""
