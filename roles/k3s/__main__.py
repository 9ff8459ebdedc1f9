"""Entry point: ``python3 -m k3s [--apply|--check|--remove]``."""

import sys

from k3s.role import K3s
from rolelib.protocol import main

sys.exit(main(K3s, sys.argv[1:]))
