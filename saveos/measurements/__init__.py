"""Measurements over time: what the appliance and its storage do, sampled, thinned out, read back, and looked ahead."""
