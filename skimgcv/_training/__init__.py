"""What happens inside ``fit`` and nowhere else."""
