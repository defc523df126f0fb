"""Write the forward mathematics once; derive, prove and generate everything else."""
