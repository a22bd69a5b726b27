"""Excursions: what stands behind an alarm of a limit, as an account one can print, sign and defend.

`figures` is the arithmetic, `store` the rows, `follower` keeps the accounts, `read` and `pages` show them, `report` and
`drawing` print them.

An excursion belongs to a channel and a side (high or low). Alarms of one side whose spans overlap (a high_high inside a
high) are one excursion; its limit is the outer one of theirs, since what lies beyond the inner lies beyond the outer.
Its figures are made from readings alone, never from what the alarm remembers. Everything that was ever said about it
and is said otherwise now stands in `alerts.excursion_version` with the reason.
"""
