"""What is kept of each call so that its end can be understood later: no words, no audio, no secrets."""
