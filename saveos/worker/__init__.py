"""Edge: the queue and the clock."""
