"""Entry point: ``python3 -m firewall [--apply|--check|--remove]``."""

import sys

from firewall.role import Firewall
from rolelib.protocol import main

sys.exit(main(Firewall, sys.argv[1:]))
