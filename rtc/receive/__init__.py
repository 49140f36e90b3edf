"""Received audio: jitter buffer, decoder, concealment, one stream a participant."""
