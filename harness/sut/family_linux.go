package sut

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxFamily bounds how many processes of one child are looked at.
const maxFamily = 1000

// family returns a process and all that descend from it, from the lists that
// proc(5) keeps for each thread. What ends while it is looked at is left out.
func family(pid int32) []int32 {
	all := []int32{pid}
	for i := 0; i < len(all) && len(all) < maxFamily; i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			continue // only a malformed pattern is an error
		}
		for _, list := range lists {
			text, err := os.ReadFile(list)
			if err != nil {
				continue // the thread has ended
			}
			for _, word := range strings.Fields(string(text)) {
				if child, err := strconv.ParseInt(word, 10, 32); err == nil {
					all = append(all, int32(child))
				}
			}
		}
	}
	return all
}
