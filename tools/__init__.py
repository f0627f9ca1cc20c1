"""What builds the project: the wheel, the environments and their locked requirements, generated files, the calibration.

No job and no service imports it. All but `calibrate` and `generate` need the standard library only.
"""
