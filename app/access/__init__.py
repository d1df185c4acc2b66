"""Who may do what; no HTTP.

``caller``
    Scopes, and who asks: what the rest of the service sees.
``keys_file``
    The file of API keys: what stands in it, and how keys come and go. Blocking.
``key_ring``
    The keys in force, and from a key to its caller.
"""
