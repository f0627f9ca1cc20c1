"""What a job task runs on: session, parameters, names, landing dates, secrets and errors. Reads and writes no table."""
