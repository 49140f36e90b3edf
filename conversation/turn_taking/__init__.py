"""Turn taking: turns, interruptions, backchannels, echo and speakers."""
