"""What users hold: the decorator, jobs, maps, the executor."""
