"""The organisations that own agents, repositories and users."""
