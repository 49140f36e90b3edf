"""What the local model understands and answers: pure rules, English, no I/O and no clock."""
