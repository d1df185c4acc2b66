"""A share of a model's traffic for another version: to answer it, or to be compared alone.

``sharing``
    Which requests belong to a share. Pure.
``window``
    The last requests of one version: how many failed, and how long they took.
``canary``
    One canary: counts both sides and says when it must end. No IO, no clock.
``shadow``
    Repeats images on another version and compares.
``choice``
    Who is to answer one request.
``director``
    Gives each request its version, and answers it from the stable one where a canary fails.
``metrics``, ``status``
    What all of this exports, and tells.
"""
