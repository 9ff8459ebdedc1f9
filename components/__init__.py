"""The Pulumi resources of the mail stack."""

import gc
import os

# The engine started this process for the program alone: it is no test, nor a program around this one.
OWN_PROCESS = "PULUMI_CONFIG" in os.environ

if OWN_PROCESS:
    # It ends within seconds. Looking for cycles takes a tenth of a small preview, a quarter with a thousand domains.
    gc.disable()
