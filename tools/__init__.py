"""What builds the project: the wheel, the virtual environments and their locked requirements, the feed's calibration.

No job and no service imports it. All but `calibrate` needs the standard library only.
"""
