"""The control server: HTTP API, supervisor of agent processes, console page."""
