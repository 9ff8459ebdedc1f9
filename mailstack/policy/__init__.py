"""Rules about what a stack registers: pure functions of a resource's type, name, inputs and options.

The pack in ``policy/`` hands them to the engine, `mailstack policy` and `make check` ask them without one.
"""

from mailstack.policy.checker import Checker, Finding
from mailstack.policy.model import Level, Options, Policy, Resource
from mailstack.policy.policies import POLICIES

__all__ = ["POLICIES", "Checker", "Finding", "Level", "Options", "Policy", "Resource"]
