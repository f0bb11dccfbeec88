package virtual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"

	"plumbline/devices"
	"plumbline/devices/firmware"
)

// Emulator is the program that the board runs in.
const Emulator = "qemu-system-arm"

// ErrNoEmulator says that the emulator is not installed. The second tier of the
// virtual bench is not there then, and says so.
var ErrNoEmulator = errors.New("virtual: " + Emulator + " is not installed; get it with: make deps-test (Debian, Ubuntu: apt-get install --no-install-recommends qemu-system-arm)")

// Available returns ErrNoEmulator where there is no emulator, else nil.
func Available() error {
	if _, err := exec.LookPath(Emulator); err != nil {
		return ErrNoEmulator
	}
	return nil
}

// Options of a machine; the zero value is useful.
type Options struct {
	ID   string           // names the machine in errors; "" = "node"
	Time devices.TimeMode // "" = devices.Live
	// Number is burnt into the part as its serial number, see firmware.Serial.
	// Only the lower 24 bits count.
	Number uint32
	// Temperature of the sensor at power-on, in degrees Celsius.
	Temperature float64
	Held        bool         // power comes, and the board stands still until Thaw
	Log         *slog.Logger // nil = discard
}

// Machine is one emulated board that runs the firmware. Its methods may be
// called by any goroutine. It ends with Close, and where the system is Linux
// also with the process that started it.
type Machine struct {
	opts    Options
	process *process
	control *monitor
	serial  net.Conn

	resets   atomic.Uint64
	barks    atomic.Uint64
	closing  sync.Once
	closeErr error
}

// Start powers a board up and returns when the firmware runs, some 50 ms later.
// Whoever calls it must read Serial on. ctx bounds the start only; it takes at
// most patience more than the emulator itself.
func Start(ctx context.Context, opts Options) (*Machine, error) {
	if opts.ID == "" {
		opts.ID = "node"
	}
	if opts.Time == "" {
		opts.Time = devices.Live
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m := &Machine{opts: opts}
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("virtual: start %q: %w", opts.ID, err), m.Close())
	}
	return m, nil
}

func (m *Machine) start(ctx context.Context) error {
	var control net.Conn
	var err error
	if m.process, control, m.serial, err = launch(ctx, m.opts); err != nil {
		return err
	}
	if m.control, err = newMonitor(ctx, control, m.happened); err != nil {
		return m.process.explain(err)
	}
	m.process.forgetFiles() // the program is in the emulator's memory now
	if err := m.SetTemperature(ctx, m.opts.Temperature); err != nil {
		return err
	}
	if m.opts.Held {
		return nil
	}
	return m.Thaw(ctx)
}

// happened counts what the emulator tells of itself.
func (m *Machine) happened(event string, data json.RawMessage) {
	switch event {
	case "RESET":
		m.resets.Add(1)
	case "WATCHDOG":
		m.barks.Add(1)
	}
	m.opts.Log.Debug("emulated board", "machine", m.opts.ID, "event", event, "data", string(data))
}

// Serial is the UART: what the firmware prints can be read, what it is to be told
// written. It ends with the machine. It must be read on, see the package comment.
func (m *Machine) Serial() net.Conn { return m.serial }

// Exited is closed when the emulator has ended, whoever ended it.
func (m *Machine) Exited() <-chan struct{} { return m.process.exited }

// Resets returns how often the board was reset, by whomever; Barks how often the
// watchdog did it.
func (m *Machine) Resets() uint64 { return m.resets.Load() }

// Barks returns how often the watchdog reset the board.
func (m *Machine) Barks() uint64 { return m.barks.Load() }

// Paths of the chips in the emulator's object tree.
const (
	sensorPath  = "/machine/peripheral/t0"
	outputsPath = "/machine/peripheral/out"
)

// SetTemperature sets what the sensor measures, in degrees Celsius from −40 to
// 127.9; the sensor tells sixteenths of a degree. It takes a millisecond.
func (m *Machine) SetTemperature(ctx context.Context, celsius float64) error {
	if err := measurable(m.opts.ID, celsius); err != nil {
		return err
	}
	return m.control.execute(ctx, "qom-set", map[string]any{
		"path": sensorPath, "property": "temperature", "value": int(math.Round(celsius * 1000)),
	}, nil)
}

// measurable refuses what the sensor cannot measure.
func measurable(id string, celsius float64) error {
	if !(celsius >= -40 && celsius <= 127.9) {
		return fmt.Errorf("virtual: temperature %v °C of %q: the sensor measures −40 to 127.9 °C", celsius, id)
	}
	return nil
}

// Output returns whether output n is on, as the chip that drives it says.
func (m *Machine) Output(ctx context.Context, n int) (bool, error) {
	if n < 0 || n >= firmware.Outputs {
		return false, fmt.Errorf("virtual: output %d of %q: there are %d, from 0", n, m.opts.ID, firmware.Outputs)
	}
	var state string
	err := m.control.execute(ctx, "qom-get", map[string]any{"path": outputsPath, "property": fmt.Sprintf("led%d", n)}, &state)
	return strings.EqualFold(state, "on"), err
}

// Reset presses the reset button.
func (m *Machine) Reset(ctx context.Context) error {
	return m.control.execute(ctx, "system_reset", nil, nil)
}

// Freeze stops the board: no time passes for it until Thaw.
func (m *Machine) Freeze(ctx context.Context) error {
	return m.control.execute(ctx, "stop", nil, nil)
}

// Thaw lets a frozen board go on.
func (m *Machine) Thaw(ctx context.Context) error {
	return m.control.execute(ctx, "cont", nil, nil)
}

// await waits for the first line of the firmware.
func (m *Machine) await(ctx context.Context, spoke <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-spoke:
		return nil
	case <-m.Exited():
		return m.process.explain(fmt.Errorf("virtual: %q: %w", m.opts.ID, ErrGone))
	case <-ctx.Done():
		return fmt.Errorf("virtual: %q: the firmware said nothing: %w", m.opts.ID, ctx.Err())
	}
}

// Close takes the power away, at once and for good, and waits until the
// emulator and the goroutines have ended. It is idempotent.
func (m *Machine) Close() error {
	m.closing.Do(func() {
		if m.process != nil {
			m.closeErr = m.process.kill()
		}
		if m.control != nil {
			m.control.close()
		}
		if m.serial != nil {
			_ = m.serial.Close()
		}
	})
	return m.closeErr
}
