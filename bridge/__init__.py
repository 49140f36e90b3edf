"""The bridge: participants of a call over a WebSocket, without WebRTC (`docs/bridge.md`)."""
