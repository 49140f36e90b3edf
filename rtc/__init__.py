"""The room side: signaling, peer connections, and the media path between them and PCM16."""
