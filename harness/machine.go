package harness

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc/stat (proc(5), USER_HZ).
const tick = time.Second / 100

// MachineBusy returns the time that the processors of this machine have worked since it
// came up, whoever for, and that a hypervisor gave to others; false where the system does
// not tell it, as on all but Linux.
func MachineBusy() (time.Duration, bool) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // it was only read
	line, _ := bufio.NewReader(f).ReadString('\n')
	return busyOf(line)
}

// busyOf adds up what is not idle in the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal. What follows is in user and nice already.
func busyOf(line string) (time.Duration, bool) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, false
	}
	var busy time.Duration
	for i, text := range fields[1:9] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return 0, false
		}
		if i != 3 && i != 4 {
			busy += time.Duration(n) * tick
		}
	}
	return busy, true
}
