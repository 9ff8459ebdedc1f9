"""What every role shares: the run protocol, host facts, file transactions, packages and services.

Python 3.6 and the standard library only: Rocky 8 ships nothing newer for system scripts.
"""
