package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/source"
	"plumbline/reports"
)

// usualHearing is how long a broker is listened to.
const usualHearing = 5 * time.Second

// listSensors prints the sensors that publish to a broker as entries of a rig file.
func listSensors(ctx context.Context, w io.Writer, broker string, length time.Duration, asJSON bool) error {
	s, err := source.Parse(broker)
	// The address is not repeated: somebody may have put a password into it.
	if err != nil || s.Kind != "mqtt" {
		return exit.Usage(fmt.Errorf("--mqtt is no address of a broker: %w", orNone(err)), "write for example mqtt://127.0.0.1:1883, with #FILTER behind it for a part of the topics")
	}
	if length <= 0 {
		length = usualHearing
	}
	sensors, more, err := source.Sensors(ctx, s, length)
	if err != nil {
		return exit.With(reports.ExitUnavailable, err, "start the broker, or name another with --mqtt")
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(sensors)
	}
	fmt.Fprintf(w, "# %d topics with readings in %v\n", len(sensors), length)
	if more > 0 {
		fmt.Fprintf(w, "# %d more are not shown: narrow the filter behind # of the address\n", more)
	}
	if len(sensors) == 0 {
		fmt.Fprintln(w, "# sensors that speak seldom need more time: --listen-for 2m\ndevices: []")
		return nil
	}
	fmt.Fprintln(w, "devices:")
	seen := map[string]bool{}
	for _, sensor := range sensors {
		fmt.Fprint(w, sensorYAML(sensor, seen))
	}
	return nil
}

// brokerOf reads the address of a broker to publish to. Nothing else of it would be
// heeded, so nothing else is taken.
func brokerOf(flag, text string) (*url.URL, error) {
	s, err := source.Parse(text)
	// The address is not repeated: somebody may have put a password into it.
	if err != nil || s.Kind != "mqtt" {
		return nil, exit.Usage(fmt.Errorf("%s is no address of a broker: %w", flag, orNone(err)), "give mqtt://HOST:PORT")
	}
	if s.What != "#" || s.Rule != "" || s.ID != "" {
		return nil, exit.Usage(fmt.Errorf("%s %s://%s: a topic filter, a rule or an id behind the address means nothing here", flag, s.URL.Scheme, s.URL.Host), "give mqtt://HOST:PORT alone")
	}
	return s.URL, nil
}

// orNone stands for the error of a description that is of another kind.
func orNone(err error) error {
	if err == nil {
		return source.ErrSpec
	}
	return err
}

// sensorYAML is one entry. What comes from the broker is quoted, or cleaned where
// it is a comment; a topic that a rig file cannot hold is a comment whole.
func sensorYAML(s source.Sensor, seen map[string]bool) string {
	heard := console.Clean(fmt.Sprintf("heard %d: %s", s.Messages, s.Values))
	if strings.HasPrefix(s.Topic, harness.TopicRoot+"/") {
		return fmt.Sprintf("# %s: the harness itself publishes under %s\n", console.Clean(s.Topic), harness.TopicRoot)
	}
	base := sensorName(s.Topic)
	name := base
	for n := 2; seen[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	seen[name] = true
	text := fmt.Sprintf("  - id: %s\n    kind: mqtt\n    topic: %s   # %s\n", name, strconv.QuoteToASCII(s.Topic), heard)
	switch {
	case s.Availability != "":
		text += fmt.Sprintf("    availability: %s   # as the discovery message says\n", strconv.QuoteToASCII(s.Availability))
	case s.Rule != "" && s.Rule != "homeassistant":
		text += fmt.Sprintf("    rule: %s\n", s.Rule)
	}
	return text
}

// sensorName makes an id out of a topic: its levels, without what all have.
func sensorName(topic string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, topic), "-")
	if name == "" || len(name) > 64 || name[0] <= '9' {
		name = strings.Trim("sensor-"+name[:min(len(name), 56)], "-")
	}
	return name
}
