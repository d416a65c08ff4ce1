# SPDX-License-Identifier: GPL-2.0
# The table of selftests/bench, from lines "KVM: # bench ROW TICKS". Fails if a row is missing or above its limit, or
# the mean of the exits' ratios is above theirs. The column "apicv" is rust_kvm with the processor's APIC
# virtualization, which C KVM cannot use in the emulator; it has no limit.

# The ratio that a row may reach; the others may reach 1, and those of "shown" anything.
BEGIN {
	limit["pio_out_exit"] = 0.8
	limit["pio_in_exit"] = 0.8
	limit["cpuid"] = 0.8
	split("cycle_wall cycle_cpu cycle_wall_irqchip cycle_cpu_irqchip cycle_wall_chips cycle_cpu_chips " \
	      "cycle_wall_vgic cycle_cpu_vgic", cycles)
	for (i in cycles)
		limit[cycles[i]] = 0.8
	# C KVM lets a vCPU spin through the last part of the time, which hides its cost.
	shown["lapic_timer_wake"] = 1
	mean_limit = 0.8
	split("pio_out_exit pio_in_exit mmio_write_exit mmio_read_exit hlt_exit cpuid rdmsr vmcall x2apic_eoi " \
	      "tsc_deadline_write self_ipi self_ipi_by_icr pic_port ioapic_read ioapic_select ioeventfd_port " \
	      "ioeventfd_mmio ioeventfd_mmio_any " \
	      "mmio_write_float hvc_version hvc_unknown id_register gicd_read gicd_write gicr_read self_sgi ioeventfd", names)
	for (i in names)
		is_exit[names[i]] = 1
}

$2 == "#" && $3 == "bench" {
	sub(":", "", $1)
	if (!($4 in seen)) {
		seen[$4] = 1
		rows[++count] = $4
	}
	ticks[$1, $4] = $5
	has_apicv = has_apicv || $1 == "apicv"
	if (NF > 5) {
		note = $1 ": " $4 ":"
		for (i = 6; i <= NF; i++)
			note = note " " $i
		notes = notes note "\n"
	}
}

END {
	printf "%-24s %12s %12s %7s %6s%s\n", "row (ticks, median)", "C KVM", "rust_kvm", "ratio", "limit",
		(has_apicv ? sprintf(" %12s", "apicv") : "")
	for (i = 1; i <= count; i++) {
		row = rows[i]
		most = row in limit ? limit[row] : 1
		if (!(("linux", row) in ticks) || !(("rust", row) in ticks)) {
			printf "%-24s %12s %12s\n", row, ticks["linux", row], ticks["rust", row]
			missing++
			continue
		}
		ratio = ticks["rust", row] / ticks["linux", row]
		is_above = ratio > most && !(row in shown)
		printf "%-24s %12d %12d %7.3f %6s%s%s\n", row, ticks["linux", row], ticks["rust", row], ratio,
			(row in shown ? "none" : sprintf("%.1f", most)), (has_apicv ? sprintf(" %12s", ticks["apicv", row]) : ""),
			(is_above ? "  above" : "")
		above += is_above
		if (row in is_exit) {
			logs += log(ratio)
			exits++
		}
	}
	if (exits) {
		mean = exp(logs / exits)
		printf "%-24s %25s %7.3f %6.1f%s\n", "geometric mean, " exits " exits", "", mean, mean_limit,
			(mean > mean_limit ? "  above" : "")
		above += mean > mean_limit
	}
	printf "%s", notes
	printf "%d rows, %d above the limit, %d not measured on both\n", count, above, missing
	exit count == 0 || above || missing
}
