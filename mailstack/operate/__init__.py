"""Looking after a running stack: what the day-2 commands do, without how they look."""
