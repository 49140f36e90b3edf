"""One conversation: the pumps and reactions that join a channel to a model (see `agent.py`)."""
