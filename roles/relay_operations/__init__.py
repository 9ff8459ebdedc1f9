"""What an operator asks of a running relay: its queue, its configuration, its log, a test message."""
