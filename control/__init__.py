"""The control server.

`server` assembles it, `run` runs it; `placement` is the seam between the API and the agents.

- API: `http`, `api`, `event_stream`.
- Processes: `supervisor` and `health` (in the server), `forkserver` (its client in the server and its
  own process), `child` (in each agent process), `ipc` (the link between them), `admission`, `machine`.
- Records and telemetry: `store`, `black_box`, `metrics`, `tracing`, `webhooks`.
"""
