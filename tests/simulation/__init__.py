"""A simulator: whole runs of the real engine in virtual time, against a simulated world, everything from one seed.

Real are the dispatcher, the row processor, the classifier, admission, the batch writer, the reading phase, undo and
verify. Simulated, with the same contracts, are the network (`network`), the server (`server`, which follows the
sandbox's rules), the run store with its disk (`tests.support.memory_store`), the process and its clocks (`process`).
`judge` knows everything that happened. `python -m tests.simulation --seconds 60` prints its seed.
"""
