"""Recognisers and voices, their queues and their loading."""
