"""How a host or an API is reached: what travels to a role, SSH, and comparing what is there with the plan."""
