"""Plays a scenario in virtual time to its verdict."""

import gc
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tests.simulation.knobs import turned
from tests.simulation.loop import SimulationLoop
from tests.simulation.violation import Violation
from tests.unit.engine.virtual import Stuck


def violation_of(
    seed: int,
    loop: SimulationLoop,
    knobs: Mapping[str, int],
    run: Callable[[], Coroutine[Any, Any, None]],
    end: Callable[[], object] = lambda: None,
) -> Violation | None:
    """Play a scenario to its end, and return the first rule that was broken; close the loop.

    `run`: plays it, and raises Violation. `end`: lets the tasks that a violation leaves behind end.
    """
    random.seed(seed)  # the jitter of retries
    was_collecting = gc.isenabled()
    gc.disable()
    violation: Violation | None = None
    try:
        with turned(knobs):
            loop.run_until_complete(run())
    except Violation as found:
        violation = found
    except Stuck:
        violation = Violation("liveness", "nothing is ready and no timer is set: the run waits for ever")
    except Exception as error:
        violation = Violation("crash", f"{type(error).__name__}: {error}")
    finally:
        end()
        loop.shut_down()
        if was_collecting:
            gc.enable()
    if violation is None and loop.problems:
        violation = Violation("crash", loop.problems[0])
    return violation
