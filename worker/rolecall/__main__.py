"""`python -m rolecall` is `rolecall`."""

import sys

from rolecall.cli.main import main

sys.exit(main())
