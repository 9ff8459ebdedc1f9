"""Caddy in front of the web sites: the typed definition and the Caddyfile rendered from it."""
