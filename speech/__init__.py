"""The local model server: hears, answers and speaks over the OpenAI Realtime protocol."""
