"""A real Kafka and a real Redis on this machine, and the supervisor of `segmentation local`.

The tests start the same servers with the same classes.
"""
