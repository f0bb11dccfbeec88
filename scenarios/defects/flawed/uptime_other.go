//go:build !linux

package main

import "time"

var began = time.Now()

// uptime is how long this process runs: elsewhere nobody sets another one.
func uptime() time.Duration { return time.Since(began) }
