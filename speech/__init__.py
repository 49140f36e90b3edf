"""The local model server: speaks the OpenAI Realtime protocol, hears and talks without any account."""
