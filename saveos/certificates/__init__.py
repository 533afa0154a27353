"""The appliance's own authority."""
