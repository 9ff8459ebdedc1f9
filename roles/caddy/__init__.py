"""Caddy: web sites with certificates, and the certificate of Postal's SMTP server."""
