"""One conversation: the parts that join a line to a model (see `agent.py`)."""
