"""The job tasks: build, audit, publish and maintenance."""
