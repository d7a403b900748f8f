"""The work behind the verbs: from what was asked for to the exit code."""
