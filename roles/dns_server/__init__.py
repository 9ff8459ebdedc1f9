"""An authoritative DNS server for the stack's zones: Knot DNS or NSD."""
