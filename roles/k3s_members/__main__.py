"""Entry point: ``python3 -m k3s_members [--apply|--check|--remove]``."""

import sys

from k3s_members.role import Members
from rolelib.protocol import main

sys.exit(main(Members, sys.argv[1:]))
