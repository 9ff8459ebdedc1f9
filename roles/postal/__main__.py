"""Entry point: ``python3 -m postal [--apply|--check|--remove]``."""

import sys

from postal.role import Postal
from rolelib.protocol import main

sys.exit(main(Postal, sys.argv[1:]))
