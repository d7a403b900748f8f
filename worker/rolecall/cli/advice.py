"""What an operator can do about an error, with the flags and variables of the command line."""

from types import MappingProxyType

from rolecall.models import Advice, RolecallError

ADVICE = MappingProxyType(
    {
        Advice.ALLOW_HTTP: "Use https://, or add --allow-http if you mean it.",
        Advice.CA_FILE: "Name your own certificate authority with --ca-file; the check cannot be skipped.",
        Advice.CHECK_URL: "Check ROCKETCHAT_URL and the network.",
        Advice.CHECK_CREDENTIALS: (
            "Check ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN; a personal access token may have been revoked. "
            "Nothing was sent."
        ),
        Advice.OTHER_DIRECTORY: "Name another --out.",
        Advice.OTHER_FILE: "Or name another --out.",
        Advice.OTHER_PLAN: "Name another --save-plan.",
        Advice.NAME_PLAN: "Name it with --plan, or name another --out.",
        Advice.NAME_ENCODING: "Or name its encoding with --encoding.",
        Advice.WRITE_PLAN: "Write one with 'rolecall check JOB --save-plan FILE'.",
        Advice.INCLUDE_INFERRED: "Name --include-inferred to undo them.",
        Advice.RETRY_FAILED: "--retry-failed sends the rows that failed again.",
        Advice.ALLOW_REMOVALS: (
            "Look at the list; if it is right, allow it with --max-removals, --max-removals-per-room or --keep-leaders."
        ),
    }
)
"""The sentence for each advice."""


def format_error(error: RolecallError) -> str:
    """Format an error with its advice, as one line."""
    text = str(error)
    return f"{text} {ADVICE[error.advice]}" if error.advice is not None else text
