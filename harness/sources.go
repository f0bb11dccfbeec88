package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/lock"
	"plumbline/devices/power"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/devices/virtual"
	"plumbline/harness/codecfile"
	"plumbline/harness/generator"
	"plumbline/harness/record"
	"plumbline/reports"
)

// DataVariable names the environment variable that points to a folder with
// recordings of real devices.
const DataVariable = "PLUMBLINE_DATA"

// ErrRecording marks a recording that is not there or not whole. CheckDevices
// gives it beside ErrBench.
var ErrRecording = errors.New("recording cannot be played")

// ErrBench marks something of the bench that is not there or not usable: a
// port, a recording, this machine's sensors.
var ErrBench = errors.New("bench is not available")

// ErrSpace is the ErrBench of a disk that has filled up: nothing more can be
// recorded, in no scenario.
var ErrSpace = fmt.Errorf("%w: the disk of the run directory is full", ErrBench)

// dataFile returns a recording of a real receiver from the folder named by
// DataVariable, "" when there is none.
func dataFile() string {
	root := os.Getenv(DataVariable)
	if root == "" {
		return ""
	}
	files, err := filepath.Glob(filepath.Join(root, "nmea", "*neo-m8n*.log"))
	if err != nil || len(files) == 0 {
		return ""
	}
	return files[0]
}

// sources are the opened devices of a rig file. What stamps a send is opened in the
// generator; what lies at the far end of its wire stays here, where scenarios break it.
type sources struct {
	orders  []order  // for the generator
	places  []int    // of those in infos
	players []player // what makes twins speak; runs beside the window
	infos   []devices.Info
	stands  map[string]stand
	guest   *virtual.Guest // nil until a device stands in it
	closers []io.Closer
	usb     *hub        // nil without adapters
	relays  *power.Bank // nil without a relay
	closing sync.Once
	closed  error
}

// stand is where in the virtual bench a device stands.
type stand struct {
	tier devices.Tier
	time devices.TimeMode
}

// stand keeps where a device stands, for the report.
func (s *sources) stand(id string, at stand) {
	if s.stands == nil {
		s.stands = map[string]stand{}
	}
	s.stands[id] = at
}

type player func(ctx context.Context) error

// openSources opens the declared devices in order. On an error what had been
// opened is in the result, to be closed by the caller.
func openSources(ctx context.Context, b *Bench, specs []DeviceSpec) (*sources, error) {
	s := &sources{}
	for _, d := range specs {
		open, known := openers[d.Kind]
		if !known {
			return s, fmt.Errorf("harness: device %q: %q is no kind of device", d.ID, d.Kind)
		}
		if err := open(ctx, s, b, d); err != nil {
			return s, fmt.Errorf("harness: device %q: %w: %w", d.ID, ErrBench, err)
		}
	}
	return s, nil
}

// order lets the generator open a device.
func (s *sources) order(o order) {
	s.orders = append(s.orders, o)
	s.places = append(s.places, len(s.infos))
	s.infos = append(s.infos, devices.Info{ID: o.Device.ID}) // see opened
}

// ordered returns the orders as the generator takes them.
func (s *sources) ordered() []any {
	all := make([]any, len(s.orders))
	for i, o := range s.orders {
		all[i] = o
	}
	return all
}

// opened keeps how the generator describes what it opened.
func (s *sources) opened(infos []devices.Info) {
	for i, info := range infos[:min(len(infos), len(s.places))] {
		s.infos[s.places[i]] = info
	}
}

// watchTopics follows a sensor that publishes by itself: a stream for each topic.
func (s *sources) watchTopics(b *Bench, info devices.Info, topics []string, qos uint8) {
	for _, topic := range topics {
		registered := record.Stream{Device: info.ID, Topic: topic, Mode: string(info.Mode), QoS: qos, Foreign: true}
		b.resolver.Add(b.Recorder.Stream(registered), registered)
	}
	s.infos = append(s.infos, info)
}

// close ends every device, the last opened first.
func (s *sources) close() error {
	s.closing.Do(func() {
		var errs []error
		for _, c := range slices.Backward(s.closers) {
			errs = append(errs, c.Close())
		}
		s.closed = errors.Join(errs...)
	})
	return s.closed
}

// run lets every device speak for length. It returns when all have stopped, early
// with the error of outer.
func (s *sources) run(outer context.Context, g *generator.Team, length time.Duration) error {
	ctx, cancel := context.WithTimeout(outer, length)
	defer cancel()
	var group sync.WaitGroup
	errs := make([]error, len(s.players)+1)
	for i, play := range s.players {
		group.Go(func() { errs[i] = play(ctx) })
	}
	if len(s.orders) > 0 {
		errs[len(s.players)] = g.Run(outer, length)
	} else {
		<-ctx.Done() // sensors that publish by themselves need nobody
	}
	group.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, io.EOF)
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return outer.Err()
}

// describe returns the devices for the report. Damaged are the frames that the
// drivers in the generator counted, in the order of their orders.
func (s *sources) describe(damaged []uint64) []reports.Device {
	out := make([]reports.Device, 0, len(s.infos))
	for _, info := range s.infos {
		detail := info.Model
		for _, more := range []string{info.Serial, info.Path, info.Note} {
			if more != "" && detail != "" {
				detail += ", "
			}
			detail += more
		}
		at := s.stands[info.ID]
		out = append(out, reports.Device{ID: info.ID, Kind: info.Kind, Mode: reports.Mode(info.Mode), Detail: detail, Tier: int(at.tier), Time: string(at.time)})
	}
	for i, n := range damaged[:min(len(damaged), len(s.places))] {
		out[s.places[i]].Damaged = n
	}
	return out
}

// protocolOf returns what a device of a rig speaks; NMEA 0183 when it names
// nothing.
func protocolOf(name string) (codecfile.Protocol, error) {
	if name == "" {
		name = codec.NMEA0183{}.Name()
	}
	return codecfile.Choose(name)
}

// CheckDevices opens and closes what can be tried without a system under test:
// serial ports, recordings, the emulators of the virtual bench. Errors wrap ErrBench and name the mend.
func CheckDevices(ctx context.Context, specs []DeviceSpec) error {
	for _, d := range specs {
		if err := tryDevice(ctx, d); err != nil {
			return fmt.Errorf("harness: device %q: %w: %w", d.ID, ErrBench, err)
		}
	}
	return nil
}

// LeaveOut is CheckDevices for a run that may do without the optional devices:
// it returns those that take part, and why each of the others does not. That none
// is left is an ErrBench.
func LeaveOut(ctx context.Context, specs []DeviceSpec) (kept []DeviceSpec, left []string, err error) {
	for _, d := range specs {
		err := CheckDevices(ctx, []DeviceSpec{d})
		switch {
		case err == nil:
			kept = append(kept, d)
		case !d.Optional || ctx.Err() != nil:
			return nil, nil, err
		default:
			left = append(left, err.Error())
		}
	}
	if len(kept) == 0 && len(left) > 0 {
		return nil, nil, fmt.Errorf("harness: %w: no device is left, all are optional: %s", ErrBench, strings.Join(left, "; "))
	}
	return kept, left, nil
}

func tryDevice(ctx context.Context, d DeviceSpec) error {
	chosen, err := protocolOf(d.Codec)
	if err != nil {
		return err
	}
	switch {
	case d.Kind == KindFirmware:
		return virtual.Available()
	case d.Kind == KindGuestTwin:
		return guestAvailable()
	case d.Kind == KindSerial:
		if d.Power != nil {
			var relays power.Bank
			_, err := powered(ctx, &relays, d) // and leave it on
			if err := errors.Join(err, relays.Close()); err != nil {
				return err
			}
		}
		cfg := serialline.Config{ID: d.ID, Port: d.Port, Baud: d.Baud, Codec: codec.Chunks{},
			Locks: &lock.Dir{}, Owner: "plumbline", Purpose: "a look at device " + d.ID + " before a run"}
		d.Configure(&cfg)
		line, err := serialline.Open(ctx, cfg)
		if err != nil {
			return err
		}
		return line.Close()
	case d.Path != "":
		_, err := loadRecording(d.Path, chosen, d.Baud)
		return err
	default:
		return nil
	}
}

// loadRecording loads a recording, the built-in one for "". A damaged file is
// refused: what it would say stops in the middle.
func loadRecording(path string, p codecfile.Protocol, baud int) (*replay.Recording, error) {
	if path == "" {
		return replay.Embedded()
	}
	c, err := p.Played()
	if err != nil {
		return nil, err
	}
	rec, err := replay.Load(path, replay.LoadOptions{Codec: c, Baud: baud})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecording, err)
	}
	if rec.Fault != nil {
		return nil, fmt.Errorf("%w: it is damaged: %w; cut the file before that place or take another", ErrRecording, rec.Fault)
	}
	if len(rec.Entries) == 0 {
		return nil, fmt.Errorf("%w: %q says nothing: the port was silent while it was recorded; take another", ErrRecording, path)
	}
	return rec, nil
}
