"""The appliance backs itself up, and comes back on an empty machine from that and the recovery kit."""
