"""From encoded image to ranked labels: decode, schedule, top-k. Knows no HTTP and no Keras.

``service``
    ``InferenceService``: the way of an image.
``live``
    ``LiveServable``: one loaded version with everything a request needs of it.
``records``
    What goes in and what comes out.
``decode_pool``
    The bounded threads that decode.
``ranking``
    Scores to labels.
``policy``
    What one request may ask.
"""
