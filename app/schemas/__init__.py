"""The JSON of the routes: what the service answers with, and the client reads by the same records.

``answers``
    Of all routes but the following ones.
``samples``
    Of the routes of labelled samples.

What only the admin routes take and give is ``app.api.admin_schemas``.
"""
