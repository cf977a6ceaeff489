"""Everything that touches the world: Kafka, Redis, HTTP, local processes."""
