"""The forkserver: agent processes as forks of a process that has all modules imported.

In the server: `forkserver`, `process`, `started_process`. In the forkserver's own process: `main`,
`preload`. Between them: `protocol`.
"""
