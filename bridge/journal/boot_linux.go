package journal

import (
	"os"
	"strings"
)

// bootID names the running kernel's boot: equal names mean that the page cache
// has survived, and with it all that write(2) took. Documented in random(4).
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
