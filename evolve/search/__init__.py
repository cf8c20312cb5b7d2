"""Quality-diversity search over values: no files, no clocks, no randomness but the generator it is handed."""
