"""Resources and limits of this machine and of the control groups of this process; prctl."""
