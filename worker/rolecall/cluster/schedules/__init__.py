"""Runs that begin by themselves: cron expressions, rules, and the run that a tick makes."""
