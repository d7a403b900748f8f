"""Defects of the engine, each a function of the real code with a wrong one in its place: the judge must find them all.

A defect that is not found is a gap in the world or in the judge.
"""

from tests.simulation.defects import afterwards, connections, endings, evidence, intents, limits, responses
from tests.simulation.defects.registry import DEFECTS, Defect, with_defect

__all__ = [
    "DEFECTS",
    "Defect",
    "afterwards",
    "connections",
    "endings",
    "evidence",
    "intents",
    "limits",
    "responses",
    "with_defect",
]
