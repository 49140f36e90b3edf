"""The embedded room server: signaling for the members of all rooms."""
