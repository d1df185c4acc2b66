"""Bytes to pixels: formats, limits, orientation, colour, resize.

``decoder``
    ``decode_image``: the one way from an encoded image to a uint8 array, used by the service for
    uploads and by training for files, so that both see the same pixels.
"""
