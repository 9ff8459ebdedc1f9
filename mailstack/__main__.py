"""Run the command line with ``python -m mailstack``."""

import sys

from mailstack.cli import main

sys.exit(main())
