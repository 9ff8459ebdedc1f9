"""The relay's Postfix configuration: its definition, its text, and what differs between distributions."""
