"""OpenTelemetry spans of calls. Nothing outside this package imports `opentelemetry`, and nothing
imports this package unless an endpoint is configured.
"""
