"""Understanding and answers of the local model: pure rules, English, no I/O and no clock."""
