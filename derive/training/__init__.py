"""What `derive train`, `derive evaluate` and `derive predict` do. They need `generated` alone, no mathematics."""
