"""Search with tantivy, in the memory of the API process."""
