"""The agent process: everything that runs between its fork and its exit."""
