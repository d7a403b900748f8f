"""A slower simulation of the whole product: aiohttp on both sides, the sandbox, files and SQLite, from one seed.

`make simulate-product` runs it in an environment of its own, with a newer Python and simloom, which simulates the
network, the time and the order of events. Nothing else of the tests needs either. Scenario and judge are those of the
campaign of real processes (`tests/campaign/`). `simloom_adapter` alone imports simloom.
"""
