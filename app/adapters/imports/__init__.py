"""Reading the members of external audiences from files, in the background."""
