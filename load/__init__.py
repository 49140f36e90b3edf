"""Load: many simulated callers against a running server, and what they hear (docs/load.md)."""
