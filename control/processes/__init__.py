"""One agent's OS process: how it is forked, tied to us, watched and ended."""
