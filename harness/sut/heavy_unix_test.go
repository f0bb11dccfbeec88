//go:build unix

package sut_test

import (
	"fmt"
	"os"
	"syscall"
)

// grow makes the program take its time to die: all that it has must be given
// back before its ports are closed.
func grow() {
	memory, err := syscall.Mmap(-1, 0, 128<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		fmt.Println(err)
	}
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
}
