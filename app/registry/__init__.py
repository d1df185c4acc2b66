"""Which versions exist, which are to be served, and which are.

``store``
    What is on disk. Blocking.
``version_policy``, ``rollout_plan``
    Which versions on disk are wanted, and which share of the traffic they get. Pure.
``labels``, ``rollout_file``
    What people asked for, beside the models on disk. Blocking.
``store_view``
    All of that at one look. Blocking.
``loader``
    How a version is brought in and out: a Protocol that ``lifecycle`` implements with an engine
    and a batcher, of which nothing here knows.
``status``
    What the manager tells about models and versions.
``version_entry``, ``version_table``, ``wishes``
    The versions of one model, their states, its default, and what was asked for. Bookkeeping only.
``catalog``
    All models, for those who ask which version answers.
``failure``
    What is told of a version that failed, and when it is tried again. Pure.
``manager``
    Brings versions in and out.
"""
