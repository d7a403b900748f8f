"""The nearest of the words that there are, for one that there is not."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give `did you mean 'run'?` for the nearest of the known words; empty where none is near."""
    from difflib import get_close_matches

    words = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), list(words), n=1)
    return f"did you mean {words[near[0]]!r}?" if near else ""


def or_all(word: str, known: Iterable[str]) -> str:
    """Name the nearest of the known words; all of them where none is near."""
    words = sorted(known)
    return did_you_mean(word, words) or (f"there are {', '.join(words)}." if words else "there are none.")
