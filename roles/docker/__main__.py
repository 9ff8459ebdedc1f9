"""Entry point: ``python3 -m docker [--apply|--check|--remove]``."""

import sys

from docker.role import Docker
from rolelib.protocol import main

sys.exit(main(Docker, sys.argv[1:]))
