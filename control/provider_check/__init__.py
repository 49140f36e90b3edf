"""A provider session opened on request, in a process of its own: an owner's factory never runs in the server."""
