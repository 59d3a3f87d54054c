"""Scheduling decisions: pure, told the time, ready to be tested without a loop."""
