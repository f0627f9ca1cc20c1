"""The pure derivations of the layers: functions from DataFrames to DataFrames, and the tables that they give."""
