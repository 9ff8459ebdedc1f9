"""The command line, on top of the product (``mailstack``) and of the rehearsal."""
