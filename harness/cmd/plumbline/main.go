// Command plumbline tests and certifies a real-time IoT pipeline, from the
// sensor's wire to the browser's pixel. Run "plumbline help" for its verbs.
package main

import (
	"context"
	"os"
)

// version is set by the linker (see the Makefile).
var version = ""

func main() {
	last := &farewell{}
	ctx, stop := signals(context.Background(), func(code int) {
		last.say()
		os.Exit(code)
	})
	code := execute(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, last: last}, os.Args[1:])
	stop()
	os.Exit(code)
}
