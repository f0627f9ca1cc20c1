"""Set-up, the services, and the commands of the Makefile on one machine.

Neither a job nor a deployment to Databricks imports it. `setup`, `clean`, `compose_env` and what they import use the
standard library only, because they run under the bare Python of the machine; all others run in the workspace
environment.
"""
