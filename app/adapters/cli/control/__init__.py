"""Commands of the control plane: clients of the REST API, one file for each family.

`commands.py` says how a family is made and what every command of it is given; `families.py` lists
them. What is loaded for `--help` must stay small: HTTP and tables are imported by what uses them.
"""
