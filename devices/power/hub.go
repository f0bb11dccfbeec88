package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Hub describes a port of a USB hub that can switch its power, as most cannot; the
// list is in the manual of uhubctl.
type Hub struct {
	Location string // of the hub, as uhubctl prints it, such as "1-1.4"
	Port     int    // number of the port on the hub, from 1
}

// ErrNoProgram says that uhubctl is not installed.
var ErrNoProgram = errors.New("power: uhubctl is not installed")

// program is looked for on PATH, and where Debian puts it for those whose PATH
// lacks it.
const program = "uhubctl"

// maxHubPort is the highest number of a port: USB 2.0 section 11.23.2.1 has a byte
// for it, and no hub comes near.
const maxHubPort = 32

var location = regexp.MustCompile(`^\d{1,3}(-\d{1,3}(\.\d{1,3}){0,5})?$`)

// Check says what is wrong with the settings and how to mend it. It looks for
// neither hub nor program.
func (h Hub) Check() error {
	switch {
	case !location.MatchString(h.Location):
		return fmt.Errorf("%w: %q is no place of a USB hub; take it from the output of: sudo uhubctl, such as \"1-1.4\"", ErrSettings, h.Location)
	case h.Port < 1 || h.Port > maxHubPort:
		return fmt.Errorf("%w: port %d of hub %s is not between 1 and %d", ErrSettings, h.Port, h.Location, maxHubPort)
	}
	return nil
}

// arguments are those of uhubctl that switch the port (uhubctl(8)).
func (h Hub) arguments(on bool) []string {
	action := "off"
	if on {
		action = "on"
	}
	return []string{"-l", h.Location, "-p", strconv.Itoa(h.Port), "-a", action}
}

// hub is a port that can be switched.
type hub struct {
	Hub
	program string
}

// OpenHub looks for uhubctl; the error is that of Check or wraps ErrNoProgram and
// says how to get it. Nothing is switched yet.
func OpenHub(h Hub) (Switch, error) { return openHub(h, exec.LookPath) }

func openHub(h Hub, look func(string) (string, error)) (Switch, error) {
	if err := h.Check(); err != nil {
		return nil, err
	}
	path, err := look(program)
	if err != nil {
		if path, err = look("/usr/sbin/" + program); err != nil {
			return nil, fmt.Errorf("%w: port %d of hub %s cannot be switched; get it with: sudo apt install uhubctl (or brew install uhubctl; source: https://github.com/mvp/uhubctl)", ErrNoProgram, h.Port, h.Location)
		}
	}
	return &hub{Hub: h, program: path}, nil
}

// hubPatience bounds one call: uhubctl tries again by itself for a second or two.
const hubPatience = 20 * time.Second

// maxSaid bounds what an error repeats of what the program said, in bytes.
const maxSaid = 400

// Set implements Switch.
func (h *hub) Set(ctx context.Context, on bool) error {
	ctx, cancel := context.WithTimeout(ctx, hubPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program, h.arguments(on)...)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	line := strings.Join(append([]string{program}, h.arguments(on)...), " ")
	return fmt.Errorf("power: %s: %w; it said %q; %s", line, err, bytes.ToValidUTF8(said[:min(len(said), maxSaid)], nil), mend(string(said)))
}

// mend is how to mend what uhubctl complains of.
func mend(said string) string {
	if strings.Contains(strings.ToLower(said), "permission") {
		return "run as root, or give yourself the right by the udev rule of its manual"
	}
	return "sudo uhubctl lists the hubs that can switch their ports; a hub that is not in it cannot, and a relay can take its place"
}
