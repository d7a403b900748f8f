"""Several workers over a shared run store, in virtual time and from one seed.

Real are the worker, its lanes, leases, shards and upkeep, the run store's code, the job queue's client, and below them
the whole engine. Simulated are the database (`database`, `statements`, `job_tables`: what its tables do, behind the
texts of the real statements), the connections to it (`connection`), the processes with their clocks (`process`,
`process_loop`), and the network and the server of the simulation of one worker.
"""
