"""HTTP below the routes: bodies, errors, keys, limits and origins of requests."""
