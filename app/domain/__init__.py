"""The nouns of the service, the error tree and the ports. Imports nothing else of ours."""
