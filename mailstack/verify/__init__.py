"""Looks at a stack from outside: is what the world sees what was declared? Changes nothing anywhere.

``model`` says what a check is and what it finds, ``target`` what is looked at, ``asking`` how DNS is asked. Each group
of checks is a module of its own; ``run`` runs them, the modules of ``report`` show what came out.
"""
