package harness_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plumbline/devices/virtual"
	"plumbline/harness"
)

// A twin in the guest is what one on a pseudo terminal is: over noise, a torn line
// and a replug that the guest's own kernel sees. It is run by make guest.
func TestGuestTwinIsHeldAgainstItsLedger(t *testing.T) {
	if os.Getenv("PLUMBLINE_GUEST_CYCLES") == "" {
		t.Skip("tier 3 of the virtual bench is run by: make guest")
	}
	if err := virtual.GuestAvailable(); errors.Is(err, virtual.ErrNoGuest) {
		t.Skipf("tier 3 of the virtual bench is N/A: %v", err)
	}
	agent := filepath.Join(t.TempDir(), "guestinit")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", agent, "plumbline/devices/guest/cmd/guestinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, said)
	}
	for _, declared := range []string{"serial: SN-A", "model: cdc_acm, parity: even"} {
		t.Run(declared, func(t *testing.T) {
			heldAgainstItsLedger(t, "{id: twin, kind: guest-twin, period: 50ms, baud: 115200, drift: -0.1, "+declared+"}", 3, agent)
		})
	}
}

// Without an emulator, a kernel or the agent the tier is not there, and says how
// it is got; a run may do without it.
func TestGuestTwinsAreNotAskedWhereThereIsNoGuest(t *testing.T) {
	t.Setenv("PLUMBLINE_GUEST", t.TempDir())
	specs, err := harness.ParseDevices("rig.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: r\ndevices:\n"+
		"  - {id: room, kind: twin}\n  - {id: wire, kind: guest-twin, baud: 115200, optional: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.CheckDevices(t.Context(), specs); !errors.Is(err, harness.ErrBench) || !strings.Contains(err.Error(), "make deps-guest") {
		t.Errorf("without a guest: %v", err)
	}
	kept, left, err := harness.LeaveOut(t.Context(), specs)
	if err != nil || len(kept) != 1 || len(left) != 1 || !strings.Contains(left[0], "make deps-guest") {
		t.Errorf("kept %v, left %q, %v", kept, left, err)
	}
}

// The rig file that the README names is one.
func TestTheGuestsRigFileIsRead(t *testing.T) {
	specs, err := harness.LoadDevices("../scenarios/rigs/guest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if rig := newRig(t, func(c *harness.Config) { c.Devices = specs }); len(rig.Wired()) != 10 || len(rig.Stimulable()) != 10 {
		t.Errorf("%d of its devices are wired, %d can be stimulated", len(rig.Wired()), len(rig.Stimulable()))
	}
}

func TestGuestTwinsAreToldApart(t *testing.T) {
	const head = "apiVersion: plumbline/v1\nkind: Rig\nname: r\ndevices:\n"
	for text, want := range map[string]string{
		"  - {id: a, kind: guest-twin, model: pl2303}\n":                                                       `devices[0].model: "pl2303" is no adapter; choose ftdi_sio or cdc_acm`,
		"  - {id: a, kind: guest-twin, serial: 'SN A'}\n":                                                      `devices[0].serial: "SN A" is no serial number of an adapter`,
		"  - {id: a, kind: guest-twin, serial: S}\n  - {id: b, kind: guest-twin, serial: S, model: cdc_acm}\n": `devices[1].serial: "S" is the adapter of device 1 already`,
		"  - {id: a, kind: guest-twin, dtr: true}\n":                                                           `devices[0].dtr: a device of kind "guest-twin" has no such setting`,
		strings.Repeat("  - {id: a#, kind: guest-twin}\n", virtual.GuestSockets+1):                             "is guest-twin 16; the hub of the guest has 15 sockets",
		"  - {id: a, kind: guest-twin, period: 1ms}\n":                                                         `devices[0].period: "1ms" is not between 10ms and 1m`,
	} {
		for n := 'a'; strings.Contains(text, "a#"); n++ {
			text = strings.Replace(text, "a#", string(n)+"1", 1)
		}
		if _, err := harness.ParseDevices("rig.yaml", []byte(head+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
