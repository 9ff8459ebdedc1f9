"""Asks the upstream, from the host that sends, whether it would take mail. Sends none."""
