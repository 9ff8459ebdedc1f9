"""Entry point: ``python3 -m caddy [--apply|--check|--remove]``."""

import sys

from caddy.role import Caddy
from rolelib.protocol import main

sys.exit(main(Caddy, sys.argv[1:]))
