# Reads `avr-size -A`, prints how much flash and static RAM the program takes, and fails above the limits.
$1 == ".text" { text = $2 }
$1 == ".data" { data = $2 }
$1 == ".bss" || $1 == ".noinit" { bss += $2 }
END {
    flash = text + data
    ram = data + bss
    printf "flash %d of %d bytes, static RAM %d of %d bytes\n", flash, max_flash, ram, max_ram
    if (text == 0 || flash > max_flash || ram > max_ram) {
        print "the firmware is too large" > "/dev/stderr"
        exit 1
    }
}
