"""The models of several agents that share one conversation."""
