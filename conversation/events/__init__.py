"""Events and commands that cross the room and the API."""
