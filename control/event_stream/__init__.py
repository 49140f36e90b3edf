"""Event streams of calls, buffered for readers that join late or resume."""
