"""Admission of requests: rate limits, circuit breaker, concurrency, retries."""
