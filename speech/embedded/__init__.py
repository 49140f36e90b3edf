"""A small packaged language model on llama.cpp, behind a chat-completions server on loopback."""
