"""A synthetic feed of any length and size in the exact shape of the source, DataCo: 53 columns, encoding, quirks.

    python -m feeds.synthetic --landing DIR --start 2018-01-01 --days 30 --scale 1 --seed 7

What a day holds is a pure function of the seed, the scale, the shares of faults and the date: not of the days beside
it, the first day of a feed, the number of processes or the machine. All chance comes from a counter-based generator
(draws.py), all arithmetic that bytes depend on is in integers or exact in IEEE 754, and who a customer is or what a
product costs on a day is computed from the id and the day alone, without walking through the days before.

parameters.json holds what was counted once in the real data set (calibrate.py), names.json the names. Rows of the real
data set are in neither.
"""
