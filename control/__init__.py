"""The control server: its API (`api`, `access`, `live`), what keeps agents alive (`supervision`,
`processes`, `admission`), and what is told and kept of calls (`metrics`, `tracing`, `webhooks`,
`black_box`, `store`). `server` assembles it, `serving` runs it; `placement` is the seam between API
and agents.
"""
