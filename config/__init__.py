"""Settings from environment variables and `.env`, and the configuration of an agent."""
