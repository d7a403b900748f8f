"""The engine: takes rows from the ledger, paces and sends them, and hands back what came of each.

Decisions (pacing arithmetic, breaker, concurrency, rooms) are plain objects that are told the time; the runner
and the delivery of a row act on them.
"""
