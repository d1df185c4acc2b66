"""Who may do what; no HTTP.

``caller``
    Scopes, and who asks: what the rest of the service sees.
``keys_file``
    The file of API keys: what stands in it, and how keys come and go. Blocking.
``key_ring``
    The keys in force, and from a key to its caller.
``allowance``
    How much one caller may ask at a time. Pure.
``limits``
    Who has asked for more, by address and by key.
``addresses``
    Whom an address stands for, and networks. Pure.
``proxies``
    Where a request comes from, through proxies. Pure.
"""
