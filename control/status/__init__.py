"""The state of the server at this moment: turns of live calls, health of providers."""
