"""The HTTP server below its handlers: connections, what is no request, bodies. Knows nothing of ours."""
