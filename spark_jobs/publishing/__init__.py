"""What is published, and how a build becomes so (design, section 9)."""
