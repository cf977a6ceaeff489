"""The Profile Query Language: text to a checked, resolved tree. No I/O, no clock."""
