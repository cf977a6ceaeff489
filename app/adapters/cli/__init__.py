"""What an operator runs by hand: the demo, the generator, and reading and writing of topics."""
