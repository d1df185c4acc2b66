"""What an administrator may ask for of a running service.

``orders``
    Who asks, and what became of it.
``desk``
    Writes what was ordered to the store and to memory, and waits until the service is in line.
``versions``
    Load, unload, label, roll back, look again.
``traffic``
    Canary and shadow.
"""
