"""`python -m rolecall` is `rolecall`."""

import sys

from rolecall.cli.entry import main

sys.exit(main())
