package main

import (
	"os"
	"slices"
	"strings"
)

// environment is the one of the tests without what would change what the command
// does and says: its flags, the job of GitHub Actions that the tests run in and its
// summary, the collector of metrics of a developer.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, envPrefix) || strings.HasPrefix(e, "GITHUB_") || strings.HasPrefix(e, "OTEL_")
	})
}

// Files of the tests of whole runs: systems that do not come up, and rigs.
const (
	deadSystem = `apiVersion: plumbline/v1
kind: SUT
name: dead
start:
  - name: bridge
    command: [sleep, "0"]
    ready: {tcp: "127.0.0.1:{{port:x}}", timeout: 5s}
broker: {url: "mqtt://127.0.0.1:{{port:x}}"}
viewer: {protocol: plumbline, url: "ws://127.0.0.1:{{port:x}}/"}
`
	silentSystem = `apiVersion: plumbline/v1
kind: SUT
name: silent
start:
  - name: bridge
    command: [sleep, "600"]
    ready: {tcp: "127.0.0.1:{{port:x}}", timeout: 500ms}
broker: {url: "mqtt://127.0.0.1:{{port:x}}"}
viewer: {protocol: plumbline, url: "ws://127.0.0.1:{{port:x}}/"}
`
	mixedRig = `apiVersion: plumbline/v1
kind: Rig
name: lab
devices:
  - {id: host, kind: host, period: 200ms}
  - {id: gps-pty, kind: serial-twin, parity: even, stopBits: 2}
  - {id: recording, kind: recording}
  - {id: tasmota, kind: mqtt-twin, period: 250ms}
  - {id: absent, kind: serial, port: /dev/nonexistent, optional: true}
`
	noPort = `apiVersion: plumbline/v1
kind: Rig
name: lab
devices:
  - {id: gps, kind: serial, port: /dev/nonexistent, codec: nmea0183}
`
	noRecording = `apiVersion: plumbline/v1
kind: Rig
name: lab
devices:
  - {id: old, kind: recording, path: /nonexistent/track.nmea}
`
)
