"""Derived equations to kernels: what to loop over, what runs in parallel, what is a contraction. Knows no gradient."""
