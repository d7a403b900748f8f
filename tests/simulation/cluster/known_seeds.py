"""Seeds of simulations of several workers: those that once broke a rule, and those that show a defect soon."""

REGRESSIONS = {
    310_009_260: "calls with slots far away were prepared again in these slots, by one slow commit, and left together",
    320_011_880: "the simulated database: a lock that was granted to a dead worker was never released",
}
"""Each seed that broke a rule of the judge with the workers of its time, and the reason."""

KNOWN_SEEDS = {
    "Commit without the fence": 22,
    "Give a shard to each worker that starts it, with a plain counter in the place of (job, attempt)": 22,
    "Let a takeover use the token of the dead worker again": 0,
    "Send without a look at the lease": 52,
    "Let a lease begin when the answer to the heartbeat arrives, not when the heartbeat is sent": 187,
    "Measure the lease by a clock that stands still with the process": 20,
    "Commit intents after the run was stopped": 78,
    "Send although the commit said that the run is stopped and the intent was not written": 78,
    "End the old job before the new one is there": 0,
    "End a shard that has rows left": 3,
    "Leave the shards of dead workers alone": 0,
    "Bring no shard back after a resume": 19,
    "Take over from workers whose lease lasts": 12,
    "Forget at a takeover that a row is in doubt": 608,
    "Believe for ever in one heartbeat": 20,
}
"""A seed that shows each defect soon; an outdated one makes the tests slower, not wrong."""
