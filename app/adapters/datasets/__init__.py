"""Data sets of exports: Parquet files in folders and object stores."""
