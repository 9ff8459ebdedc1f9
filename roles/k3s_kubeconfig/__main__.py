"""Entry point: ``python3 -m k3s_kubeconfig [--apply|--check|--remove]``."""

import sys

from k3s_kubeconfig.role import Kubeconfig
from rolelib.protocol import main

sys.exit(main(Kubeconfig, sys.argv[1:]))
