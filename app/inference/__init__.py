"""From encoded image to ranked labels: decode, schedule, top-k. Knows no HTTP and no Keras.

``service``
    ``InferenceService``: the way of an image.
``live``
    ``LiveServable``: one loaded version with everything a request needs of it.
``records``
    What goes in and what comes out.
``decode_pool``
    The bounded threads that decode.
``coalescing``
    ``ReusingScheduler``: before the batcher of one version; executes no image twice.
``shared_task``
    ``SharedTask``: one caller's image; ``Flight``: the execution that several wait for.
``result_cache``
    ``ResultCache``: scores that are kept, within a bound of bytes.
``pixel_key``
    What identical images have in common.
``reuse``
    ``ResultReuse``: joins these for all versions.
``reuse_metrics``
    What was not computed again.
``ranking``
    Scores to labels.
``policy``
    What one request may ask, and what is reused.
"""
