package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// counter says how often the defect showed itself. It is a file, written at
// every change, so that it outlives a SIGKILL and a restart goes on counting.
type counter struct {
	mu    sync.Mutex
	file  *os.File
	fired uint64
}

// counterForm has a fixed length: each writing replaces the one before.
const counterForm = "%020d\n"

func openCounter(path string) (*counter, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // there to be read by others
	if err != nil {
		return nil, fmt.Errorf("counter: %w", err)
	}
	c := &counter{file: f}
	text := make([]byte, 21)
	if n, _ := f.ReadAt(text, 0); n == len(text) {
		_, err = fmt.Sscanf(string(text), "%d", &c.fired)
	} else {
		err = c.write()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("counter: %w", err), f.Close())
	}
	return c, nil
}

// fire counts one time that the defect showed itself.
func (c *counter) fire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fired++
	_ = c.write() // whoever reads too little calls the defect one that never fired
}

func (c *counter) write() error {
	_, err := c.file.WriteAt(fmt.Appendf(nil, counterForm, c.fired), 0)
	return err
}

func (c *counter) close() error { return c.file.Close() }
