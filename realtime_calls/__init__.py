"""WebRTC calls to the local model, in the shape of OpenAI's `/v1/realtime/calls`."""
