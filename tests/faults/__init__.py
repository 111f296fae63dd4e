"""Faults with real processes: killed, interrupted, out of room, locked out, slowed down, in another time.

contract.py says what must hold whatever happens, warm.py starts processes cheaply, made_up.py is a study
without training, and shim.c stands between a process and its disk and clock. `make faults` repeats all of it
far more often than the tests do.
"""
