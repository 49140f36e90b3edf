"""OpenAI Realtime, GA and beta, and Azure."""
