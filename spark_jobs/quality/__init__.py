"""The audit of a build: Great Expectations decides whether a layer may be published."""
