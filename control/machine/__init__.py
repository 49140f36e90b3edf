"""What this machine has, or the control group that holds us."""
