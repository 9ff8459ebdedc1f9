"""A send-only Postfix relay in front of one upstream."""
