"""Entry point: ``python3 -m postfix_relay [--apply|--check|--remove]``."""

import sys

from postfix_relay.role import PostfixRelay
from rolelib.protocol import main

sys.exit(main(PostfixRelay, sys.argv[1:]))
