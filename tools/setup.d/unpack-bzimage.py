# SPDX-License-Identifier: GPL-2.0
"""unpack-bzimage.py BZIMAGE ADDRESS IMAGE SETUP: takes a Linux x86 bzImage apart.

IMAGE becomes the uncompressed kernel as it lies in memory from physical ADDRESS on, SETUP the real-mode
setup code; the kernel's physical entry address is printed. Layouts: the kernel's
Documentation/arch/x86/boot.rst, and the ELF specification.
"""
import struct
import subprocess
import sys

DECOMPRESSORS = (
    (b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]),
    (b"\xfd7zXZ\x00", ["xz", "-dc"]),
    (b"\x1f\x8b", ["gzip", "-dc"]),
)
SETUP_SECTS = 0x1F1
HEADER_MAGIC = 0x202
PAYLOAD_OFFSET = 0x248
SECTOR = 512
PT_LOAD = 1


def decompress(payload):
    for magic, command in DECOMPRESSORS:
        if payload.startswith(magic):
            # The kernel's build appends the size to the stream, of which tools complain at the end.
            return subprocess.run(command, input=payload, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=False).stdout
    sys.exit("unpack-bzimage: a compression this script does not know")


def flatten(elf, address):
    """The loadable segments of an ELF64 file laid out from a physical address on."""
    if elf[:4] != b"\x7fELF":
        sys.exit("unpack-bzimage: the payload is no ELF file")
    entry, = struct.unpack_from("<Q", elf, 0x18)
    phoff, = struct.unpack_from("<Q", elf, 0x20)
    phentsize, phnum = struct.unpack_from("<HH", elf, 0x36)
    image = bytearray()
    for index in range(phnum):
        kind, _, offset, _, physical, size, _, _ = struct.unpack_from("<IIQQQQQQ", elf, phoff + index * phentsize)
        if kind != PT_LOAD:
            continue
        start = physical - address
        image.extend(bytes(max(0, start - len(image))))
        image[start:start + size] = elf[offset:offset + size]
    return entry, bytes(image).rstrip(b"\0")


def main():
    path, address, image_path, setup_path = sys.argv[1:]
    with open(path, "rb") as file:
        data = file.read()
    if data[HEADER_MAGIC:HEADER_MAGIC + 4] != b"HdrS":
        sys.exit(f"unpack-bzimage: {path} is no bzImage")
    setup_size = (data[SETUP_SECTS] + 1) * SECTOR
    offset, length = struct.unpack_from("<II", data, PAYLOAD_OFFSET)
    entry, image = flatten(decompress(data[setup_size + offset:setup_size + offset + length]), int(address, 0))
    with open(image_path, "wb") as file:
        file.write(image)
    with open(setup_path, "wb") as file:
        file.write(data[:setup_size])
    print(hex(entry))


main()
