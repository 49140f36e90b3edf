"""Scenario tests: simulated people call an agent over real WebRTC, and what happened is checked."""
