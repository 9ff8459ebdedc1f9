"""What a stack tells: the contract, what follows from the plan, and what an application is given of it."""

from mailstack.outputs.contract import CONTRACT_VERSION, Outputs

__all__ = ["CONTRACT_VERSION", "Outputs"]
