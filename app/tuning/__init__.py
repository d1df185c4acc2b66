"""Which settings suit a version on this machine, found by measuring.

``records``
    What is measured, and how it is summed up.
``candidates``
    Which engines, precisions and numbers of threads are measured. Pure.
``measuring_process``, ``worker``
    One candidate in a process of its own, which may hang or die: the one side of it and the other.
``search``
    Which candidate is measured when, within a limit of time.
``goals``
    What is wanted, and which batch sizes serve it. Pure.
``recommendation``
    From what was measured to settings, and why. Pure.
``tuning``
    All of these, one after another.
``report``
    What was found as text, JSON and a picture.
"""
