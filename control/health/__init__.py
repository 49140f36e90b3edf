"""Health checks of agent processes: statistics, rules, and the monitor that applies them."""
