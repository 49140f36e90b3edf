"""The control API over HTTP: routes, bodies, errors, the page."""
