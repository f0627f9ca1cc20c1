"""What a job task runs on: its session, parameters, landing dates, secrets and errors. Touches no table."""
