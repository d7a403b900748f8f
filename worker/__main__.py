"""`python -m worker` is `rolecall`."""

import sys

from worker.cli import main

sys.exit(main())
