"""A call kept as a stereo WAV file: users on the left, the agent on the right, on one timeline."""
