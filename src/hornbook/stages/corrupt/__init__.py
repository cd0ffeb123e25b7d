"""Put known faults into good records, for experiments."""
