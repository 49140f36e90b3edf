"""Messages of the OpenAI Realtime protocol; `realtime.struct` has them all."""
