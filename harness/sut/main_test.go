package sut_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"plumbline/harness/conform/targets"
)

// TestMain lets the test binary stand in for a program that a descriptor
// starts: with the variable set it is that program and runs no tests.
func TestMain(m *testing.M) {
	if mode := os.Getenv("SUT_TEST_PROGRAM"); mode != "" {
		program(mode, os.Args[1:])
		return
	}
	defer targets.Clean()
	m.Run()
}

// forever waits until the process is killed.
func forever() {
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	<-interrupt
}

// program listens on the first argument, writes the file named by the second
// and then behaves as its mode says.
func program(mode string, args []string) {
	fmt.Println("program starts in mode", mode)
	switch mode {
	case "exit":
		fmt.Println("cannot go on")
		os.Exit(7) //nolint:forbidigo // here the binary is a program of its own
	case "port-taken":
		fmt.Fprintln(os.Stderr, "listen: address already in use")
		os.Exit(4) //nolint:forbidigo // as above
	case "never-ready":
		forever()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "crash-at-end":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		go func() { <-asked; panic("cannot end in good order") }()
	case "family":
		child := exec.Command(os.Args[0], args...)
		child.Env = append(os.Environ(), "SUT_TEST_PROGRAM=heavy")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		fmt.Println(child.Run())
		return
	case "heavy":
		grow()
	}
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4) //nolint:forbidigo // as above
	}
	if len(args) > 1 {
		data, _ := json.Marshal(map[string]any{"pid": os.Getpid(), "mqtt": args[0]})
		_ = os.WriteFile(args[1], data, 0o600)
	}
	fmt.Println("program is ready")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		buf := make([]byte, 16)
		n, _ := conn.Read(buf)
		if string(buf[:n]) == "die" {
			fmt.Println("program was told to die")
			os.Exit(9) //nolint:forbidigo // as above
		}
		if string(buf[:n]) == "chatter" {
			for range 100 {
				fmt.Println(strings.Repeat("chatter ", 100)) // 801 bytes
			}
		}
		if n > 0 {
			_, _ = conn.Write(buf[:n])
		}
		_ = conn.Close()
	}
}
