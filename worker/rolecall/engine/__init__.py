"""The engine: reads due rows from the run store, sends them within the rate limits and records each outcome.

Decisions (rate limits, circuit breaker, concurrency, rooms) are plain objects that are given the time. The dispatcher
and the row processor act on them.
"""
