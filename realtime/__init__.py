"""The model side: one interface to every realtime provider, and each provider's wire protocol."""
