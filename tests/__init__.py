"""Tests, one module per module of the source, plus loopback, processes, browser and fakes."""
