"""The audit of a build: Great Expectations decides whether a layer may be published (design, sections 2 and 8)."""
