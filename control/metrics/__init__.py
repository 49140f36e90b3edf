"""Prometheus figures of everything: `GET /metrics`."""
