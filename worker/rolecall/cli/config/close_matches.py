"""Suggestions for a misspelt word."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'run'?` with the most similar known word; empty if none is similar."""
    from difflib import get_close_matches

    words = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), list(words), n=1)
    return f"did you mean {words[near[0]]!r}?" if near else ""


def or_all(word: str, known: Iterable[str]) -> str:
    """Return the most similar known word as a question; all known words if none is similar."""
    words = sorted(known)
    return did_you_mean(word, words) or (f"known are {', '.join(words)}." if words else "there are none.")


def edit_distance(one: str, other: str) -> int:
    """Return how many letters must be inserted, deleted or replaced to make one word of the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        previous, row = row, [i]
        for j, other_letter in enumerate(other, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (letter != other_letter)))
    return row[-1]
