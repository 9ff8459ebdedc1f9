"""DMARC aggregate reports: read from files, summed by who sent, and judged: is a stricter policy safe (RFC 9990)."""
