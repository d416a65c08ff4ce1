# SPDX-License-Identifier: GPL-2.0
# The table of selftests/bench, from lines "KVM: # bench ROW TICKS". Fails if a row is missing or above its limit.

# The ratio that a row may reach; the others may reach 1.
BEGIN {
	limit["pio_out_exit"] = 0.8
	limit["pio_in_exit"] = 0.8
	limit["cpuid"] = 0.8
}

$2 == "#" && $3 == "bench" {
	sub(":", "", $1)
	if (!($4 in seen)) {
		seen[$4] = 1
		rows[++count] = $4
	}
	ticks[$1, $4] = $5
}

END {
	printf "%-24s %12s %12s %7s %6s\n", "row (ticks, median)", "C KVM", "rust_kvm", "ratio", "limit"
	for (i = 1; i <= count; i++) {
		row = rows[i]
		most = row in limit ? limit[row] : 1
		if (!(("linux", row) in ticks) || !(("rust", row) in ticks)) {
			printf "%-24s %12s %12s\n", row, ticks["linux", row], ticks["rust", row]
			missing++
			continue
		}
		ratio = ticks["rust", row] / ticks["linux", row]
		printf "%-24s %12d %12d %7.3f %6.1f%s\n", row, ticks["linux", row], ticks["rust", row], ratio, most,
			(ratio > most ? "  above" : "")
		above += ratio > most
	}
	printf "%d rows, %d above the limit, %d not measured on both\n", count, above, missing
	exit count == 0 || above || missing
}
