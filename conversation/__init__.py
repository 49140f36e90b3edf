"""Pure decisions of a conversation: turns, playout position, history, client events. No I/O here."""
