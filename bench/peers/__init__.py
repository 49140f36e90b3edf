"""The same calls against FastRTC and Pipecat, beside Parley, in one run."""
