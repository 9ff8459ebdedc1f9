"""All checks there are. Importing this module enters every one of them into ``CHECKS``."""
