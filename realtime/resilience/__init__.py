"""A conversation that outlives provider sessions: retry, rotation, replay."""
