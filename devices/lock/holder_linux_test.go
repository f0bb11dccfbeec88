package lock

import "testing"

func TestWhoTheKernelLists(t *testing.T) {
	const table = "1: POSIX  ADVISORY  WRITE 7 fe:00:42 0 EOF\n" +
		"2: FLOCK  ADVISORY  WRITE 30222 fe:00:42 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 fe:00:42 0 EOF\n" +
		"3: FLOCK  ADVISORY  WRITE 0 fe:00:43 0 EOF\n4: FLOCK  ADVISORY  WRITE -1 fe:00:44 0 EOF\n5: FLOCK\n6: FLOCK  ADVISORY  WRITE x fe:00:45 0 EOF\n"
	for file, want := range map[string]int{"fe:00:42": 30222, "fe:00:43": 0, "fe:00:44": 0, "fe:00:45": 0, "fe:00:4": 0, "fe:01:42": 0} {
		if pid := listed(table, file); pid != want {
			t.Errorf("%s is held by %d, want %d", file, pid, want)
		}
	}
}
