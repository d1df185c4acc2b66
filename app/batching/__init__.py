"""From single images to batches on the device, and back to single answers.

``batcher``
    ``DynamicBatcher``: what other packages call. Admission, start, drain, close; the contract.
``dispatcher``
    ``Dispatcher``: the state on the event loop. Holds every accepted task until it is answered.
``policy``
    ``BatchPolicy``: when a batch closes and how large it may be. Pure.
``execution_time``
    ``ExecutionTime``: what an execution will take, learned. Pure.
``caution``
    ``Caution``: how far that is to be trusted, learned. Pure.
``admission``
    When an image accepted now would be answered. Pure.
``task``
    ``BatchTask``: one accepted image and the one place where it is answered; ``TaskResult``.
``task_queue``
    ``TaskQueue``: who waits, in which order they leave.
``runner``
    ``BatchRunner``: executes one batch, splits it where it fails. Plain calls, no thread.
``lane``
    ``DeviceLane``: one device and the batches that it was handed; there may be several.
``watchdog``
    ``Watchdog``: notices devices that do not come back.
``device``
    ``DeviceThread``: the thread that runs the runner.
``staging``
    ``StagingThread``: copies the next batch to the device meanwhile, where the servable can.
``timer``
    ``MomentTimer``: the one timer, for ``batch_timeout_s``.
``delivery``
    ``Delivery``: gives the answers, in slices under overload.
``reporting``
    ``BatchReporter``: observer, measured rate, log records.
"""
