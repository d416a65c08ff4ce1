/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Boots a Linux x86-64 kernel in the emulated machine from an option ROM and a raw disk, without a boot
 * loader's BIOS calls and without decompression.
 *
 * The BIOS calls the ROM. It copies the kernel's own real-mode setup code below 640 KiB and enters it,
 * as a boot loader does (Documentation/arch/x86/boot.rst); the setup code asks the BIOS for the memory map
 * and leaves in protected mode through code32_start. There, in place of the decompressor, the second
 * half reads the uncompressed kernel and the initial RAM disk from the first ATA disk, builds an identity
 * map and enters the kernel by the 64-bit boot protocol.
 *
 * The disk: a block of PARAMS_SECTORS sectors (struct params below), the kernel, the RAM disk.
 *
 * Symbols from the command line of the assembler: ENTRY, the kernel's physical entry address; KERNEL, INITRD
 * and PARAMS, where the three parts of the disk go in memory. setup.bin is the setup code.
 */

	.set	ROM_BASE, 0xd0000	/* where the BIOS finds this ROM */
	.set	SETUP_SEGMENT, 0x9000
	.set	SETUP_STACK, 0xe000
	.set	PARAMS_SECTORS, 8
	.set	PARAMS_INITRD_BYTES, 0	/* struct params: u32 */
	.set	PARAMS_INITRD_SECTORS, 4
	.set	PARAMS_KERNEL_SECTORS, 8
	.set	PARAMS_CMDLINE, 16	/* up to the end of the block, zero-terminated */
	.set	TABLES, 0x8000		/* three pages of conventional memory */

	/* struct setup_header */
	.set	TYPE_OF_LOADER, 0x210
	.set	LOADFLAGS, 0x211
	.set	CODE32_START, 0x214
	.set	RAMDISK_IMAGE, 0x218
	.set	RAMDISK_SIZE, 0x21c
	.set	HEAP_END_PTR, 0x224
	.set	CMD_LINE_PTR, 0x228
	.set	LOADER_UNDEFINED, 0xff
	.set	LOADED_HIGH_CAN_USE_HEAP, 0x81

	/* The first ATA channel (ATA-6, PIO data-in commands) */
	.set	ATA_DATA, 0x1f0
	.set	ATA_COUNT, 0x1f2
	.set	ATA_LBA_LOW, 0x1f3
	.set	ATA_LBA_MID, 0x1f4
	.set	ATA_LBA_HIGH, 0x1f5
	.set	ATA_DEVICE, 0x1f6
	.set	ATA_COMMAND, 0x1f7	/* read: the status */
	.set	ATA_DEVICE_LBA, 0xe0
	.set	ATA_READ_MULTIPLE, 0xc4
	.set	ATA_SET_MULTIPLE, 0xc6
	.set	ATA_BSY, 0x80
	.set	ATA_DRQ, 0x08
	.set	ATA_ERR, 0x01
	.set	ATA_COUNT_MAX, 256
	.set	MULTIPLE, 16		/* sectors per data request */
	.set	SECTOR_WORDS, 256

	.set	CR0_CD_NW, 3 << 29
	.set	CR0_PG, 1 << 31
	.set	CR4_PAE, 1 << 5
	.set	MSR_EFER, 0xc0000080
	.set	EFER_LME, 1 << 8
	.set	PRESENT_WRITE, 3
	.set	PRESENT_WRITE_LARGE, 0x83
	.set	LARGE_PAGE, 0x200000
	.set	BOOT_CS, 0x10
	.set	BOOT_DS, 0x18

	.text
	.code16
rom:
	.byte	0x55, 0xaa
	.byte	(end - rom) / 512
	jmp	copy_setup
	.balign	4
checksum:
	.long	0			/* makes the bytes of the ROM sum to zero */

copy_setup:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	movw	$SETUP_SEGMENT, %ax
	movw	%ax, %es
	movw	$(setup - rom), %si
	xorw	%di, %di
	movw	$((setup_end - setup) / 4), %cx
	rep movsl

	movw	%ax, %ds
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movl	$SETUP_STACK, %esp
	movb	$LOADER_UNDEFINED, TYPE_OF_LOADER
	movb	$LOADED_HIGH_CAN_USE_HEAP, LOADFLAGS
	movl	$(ROM_BASE + enter_kernel - rom), CODE32_START
	movl	$INITRD, RAMDISK_IMAGE
	movw	$(SETUP_STACK - 0x200), HEAP_END_PTR
	movl	$(PARAMS + PARAMS_CMDLINE), CMD_LINE_PTR
	ljmp	$(SETUP_SEGMENT + 0x20), $0

	.code32
enter_kernel:				/* %esi: struct boot_params */
	cld
	pushl	%esi
	movb	$MULTIPLE, %al
	movw	$ATA_COUNT, %dx
	outb	%al, %dx
	movb	$ATA_DEVICE_LBA, %al
	movw	$ATA_DEVICE, %dx
	outb	%al, %dx
	movb	$ATA_SET_MULTIPLE, %al
	movw	$ATA_COMMAND, %dx
	outb	%al, %dx

	xorl	%ebx, %ebx
	movl	$PARAMS_SECTORS, %ebp
	movl	$PARAMS, %edi
	call	read_sectors
	movl	PARAMS + PARAMS_KERNEL_SECTORS, %ebp
	movl	$KERNEL, %edi
	call	read_sectors
	movl	PARAMS + PARAMS_INITRD_SECTORS, %ebp
	movl	$INITRD, %edi
	call	read_sectors
	popl	%esi
	movl	PARAMS + PARAMS_INITRD_BYTES, %eax
	movl	%eax, RAMDISK_SIZE(%esi)

	movl	$TABLES, %edi
	xorl	%eax, %eax
	movl	$(3 * 4096 / 4), %ecx
	rep stosl
	movl	$(TABLES + 0x1000 + PRESENT_WRITE), TABLES
	movl	$(TABLES + 0x2000 + PRESENT_WRITE), TABLES + 0x1000
	movl	$(TABLES + 0x2000), %edi
	movl	$PRESENT_WRITE_LARGE, %eax
	movl	$512, %ecx
1:	movl	%eax, (%edi)
	addl	$LARGE_PAGE, %eax
	addl	$8, %edi
	loop	1b

	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$TABLES, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	lgdt	ROM_BASE + gdt_pointer - rom
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	andl	$~CR0_CD_NW, %eax
	movl	%eax, %cr0
	ljmp	$BOOT_CS, $(ROM_BASE + long_mode - rom)

/*
 * %ebp sectors from sector %ebx on go to %edi; %ebx and %edi advance. A disk error ends in a triple fault,
 * which ends the emulator.
 */
read_sectors:
	movl	$ATA_COUNT_MAX, %ecx
	cmpl	%ecx, %ebp
	cmovb	%ebp, %ecx
	jecxz	4f
1:	movw	$ATA_COMMAND, %dx
	inb	%dx, %al
	testb	$ATA_BSY, %al
	jnz	1b
	movb	%cl, %al
	movw	$ATA_COUNT, %dx
	outb	%al, %dx
	movl	%ebx, %eax
	movw	$ATA_LBA_LOW, %dx
	outb	%al, %dx
	shrl	$8, %eax
	movw	$ATA_LBA_MID, %dx
	outb	%al, %dx
	shrl	$8, %eax
	movw	$ATA_LBA_HIGH, %dx
	outb	%al, %dx
	shrl	$8, %eax
	orb	$ATA_DEVICE_LBA, %al
	movw	$ATA_DEVICE, %dx
	outb	%al, %dx
	movb	$ATA_READ_MULTIPLE, %al
	movw	$ATA_COMMAND, %dx
	outb	%al, %dx
	addl	%ecx, %ebx
	subl	%ecx, %ebp
2:	movw	$ATA_COMMAND, %dx	/* %ecx: sectors left of this command */
	inb	%dx, %al
	testb	$ATA_BSY, %al
	jnz	2b
	testb	$ATA_ERR, %al
	jnz	5f
	testb	$ATA_DRQ, %al
	jz	2b
	movl	$MULTIPLE, %eax
	cmpl	%eax, %ecx
	cmovb	%ecx, %eax
	subl	%eax, %ecx
	pushl	%ecx
	movl	$SECTOR_WORDS, %ecx
	mull	%ecx
	movl	%eax, %ecx
	movw	$ATA_DATA, %dx
	rep insw
	popl	%ecx
	testl	%ecx, %ecx
	jnz	2b
	jmp	read_sectors
4:	ret
5:	ud2

	.code64
long_mode:
	movl	$BOOT_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$ENTRY, %eax
	jmp	*%rax

	.balign	8
gdt:					/* accessed bits set: the processor cannot write to ROM */
	.quad	0, 0
	.quad	0x00af9b000000ffff	/* BOOT_CS: 64-bit code */
	.quad	0x00cf93000000ffff	/* BOOT_DS: flat data */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	ROM_BASE + gdt - rom

	.balign	4
setup:
	.incbin	"setup.bin"
setup_end:
	.balign	512
end:
