# SPDX-License-Identifier: GPL-2.0
"""seal-rom.py ROM: sets the byte at CHECKSUM so that the bytes of the option ROM sum to zero modulo 256."""
import sys

CHECKSUM = 8

with open(sys.argv[1], "r+b") as rom:
    rest = sum(rom.read()) % 256
    rom.seek(CHECKSUM)
    rom.write(bytes([-rest % 256]))
