"""Link between the supervisor and an agent process."""
