"""What outlives a provider's session: the conversation, kept over as many as it takes."""
