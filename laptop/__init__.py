"""Everything that makes the lakehouse run on one machine: set-up, services, and the commands behind the Makefile.

The modules that `make setup` needs (`setup`, `state`, `problems`, `environments`, `java`, `jars`, `keys`, `wheel`)
use the standard library only, because they run under the bare Python of the machine. All others run in the
workspace environment.
"""
