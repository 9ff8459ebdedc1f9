"""Entry point: ``python3 -m mariadb [--apply|--check|--remove]``."""

import sys

from mariadb.role import MariaDB
from rolelib.protocol import main

sys.exit(main(MariaDB, sys.argv[1:]))
