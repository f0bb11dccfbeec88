package sut

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"plumbline/harness/strictyaml"
)

// Load reads and checks a descriptor file. Files that it names are looked up
// relative to its folder. Every error wraps ErrUsage and says file, line, key
// and what was meant.
func Load(path string) (*Descriptor, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sut: descriptor %q: %w: %w", path, ErrUsage, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("sut: descriptor %q: %w", path, err)
	}
	return Parse(data, path, dir)
}

// Parse checks a descriptor that was read from file; dir is the folder that
// relative files are looked up in.
func Parse(data []byte, file, dir string) (*Descriptor, error) {
	d := &Descriptor{dir: dir}
	doc, err := strictyaml.Decode(file, data, d)
	if err != nil {
		return nil, fmt.Errorf("sut: descriptor: %w: %w", ErrUsage, err)
	}
	if err := d.check(doc); err != nil {
		return nil, fmt.Errorf("sut: descriptor: %w: %w", ErrUsage, err)
	}
	return d, nil
}

// Validate checks a descriptor that was made by hand. Every error wraps ErrUsage.
func (d *Descriptor) Validate() error {
	if err := d.check(nil); err != nil {
		return fmt.Errorf("sut: descriptor %q: %w: %w", d.Name, ErrUsage, err)
	}
	return nil
}

// faultFunc makes an error that points into the file when there is one.
type faultFunc func(path []any, format string, args ...any) error

func (d *Descriptor) check(doc *strictyaml.Document) error {
	fault := faultFunc(func(path []any, format string, args ...any) error {
		if doc != nil {
			return doc.Errorf(path, format, args...)
		}
		return fmt.Errorf("%v: %s", path, fmt.Sprintf(format, args...))
	})
	for _, check := range []func(faultFunc) error{
		d.checkHead, d.checkStart, d.checkBroker, d.checkViewer, d.checkPage, d.checkAuth, d.checkCluster, d.checkCapabilities, d.checkTemplates,
	} {
		if err := check(fault); err != nil {
			return err
		}
	}
	return nil
}

func (d *Descriptor) checkHead(fault faultFunc) error {
	switch {
	case d.APIVersion != APIVersion:
		return fault([]any{"apiVersion"}, "is %q; this version reads %q", d.APIVersion, APIVersion)
	case d.Kind != Kind:
		return fault([]any{"kind"}, "is %q; a descriptor has kind: %s", d.Kind, Kind)
	case d.Name == "":
		return fault([]any{"name"}, "is missing; name the system under test")
	case d.Limits.Reconnect < 0:
		return fault([]any{"limits", "reconnect"}, "is negative")
	case d.Limits.MaxPayload < 0:
		return fault([]any{"limits", "maxPayload"}, "is negative")
	}
	return nil
}

func (d *Descriptor) checkStart(fault faultFunc) error {
	seen := map[string]bool{}
	for i, p := range d.Start {
		at := func(keys ...any) []any { return append([]any{"start", i}, keys...) }
		switch {
		case p.Name == "" || strings.ContainsAny(p.Name, `/\ `):
			return fault(at("name"), "must be a plain word; it names the log file")
		case seen[p.Name]:
			return fault(at("name"), "%q is used twice", p.Name)
		case len(p.Command) == 0 || p.Command[0] == "":
			return fault(at("command"), "is empty; give the program and its arguments as a list")
		case len(p.Ready.Command) > 0 && p.Ready.Command[0] == "":
			return fault(at("ready", "command"), "names no program; give the program and its arguments as a list, or leave it out")
		case p.Ready.Timeout < 0 || (p.Ready.Timeout > 0 && p.Ready.Timeout < time.Millisecond):
			return fault(at("ready", "timeout"), "is %v; write a time with its unit, for example 10s", p.Ready.Timeout)
		}
		if err := checkFiles(fault, at, p.Files); err != nil {
			return err
		}
		for _, e := range p.Env {
			if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
				return fault(at("env"), "%q must have the form NAME=value", e)
			}
		}
		seen[p.Name] = true
	}
	return nil
}

func checkFiles(fault faultFunc, at func(...any) []any, files []File) error {
	for i, f := range files {
		if f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsAny(f.Name, `/\`) {
			return fault(at("files", i, "name"), "is %q; it must be a plain name, the file lies in {{dir}}", f.Name)
		}
	}
	return nil
}

func (d *Descriptor) checkBroker(fault faultFunc) error {
	if holdsUser(d.Broker.URL) {
		return fault([]any{"broker", "url"}, "holds a user name; give it as broker.username, and the password in a file as broker.passwordFile")
	}
	switch version := d.Broker.MQTTVersion; {
	case version != "" && !slices.Contains(mqttVersions, version):
		return fault([]any{"broker", "mqttVersion"}, "is %q; known are %s, in quotes", version, strings.Join(mqttVersions, ", "))
	case version == "3.1.1" && d.Has(CapExactlyOnce):
		return fault([]any{"broker", "mqttVersion"}, "is 3.1.1, which cannot number messages; the capability %s needs 5", CapExactlyOnce)
	}
	switch scheme(d.Broker.URL) {
	case "mqtt", "mqtts":
		return nil
	case "":
		return fault([]any{"broker", "url"}, "is missing; devices must know where to publish, for example mqtt://127.0.0.1:1883")
	default:
		return fault([]any{"broker", "url"}, "has scheme %q; use mqtt:// or mqtts://", scheme(d.Broker.URL))
	}
}

var (
	protocols = []string{"plumbline", "mqtt", "json", "sse", "poll"}
	places    = []string{"header", "query", "subprotocol", "cookie", "first-message", "mqtt-password", "none"}
	// mqttVersions are those that the harness speaks.
	mqttVersions = []string{"5", "3.1.1"}
)

// manner is how a viewer protocol is reached and where it can show a token.
type manner struct {
	schemes []string
	places  []string
	example string
}

var manners = map[string]manner{
	"plumbline": {[]string{"ws", "wss"}, []string{"first-message", "header", "query", "subprotocol", "cookie", "none"}, "wss://127.0.0.1:8443/ws"},
	"mqtt":      {[]string{"ws", "wss"}, []string{"mqtt-password", "header", "query", "subprotocol", "cookie", "none"}, "ws://127.0.0.1:9001/mqtt"},
	"json":      {[]string{"ws", "wss"}, []string{"header", "query", "subprotocol", "cookie", "first-message", "none"}, "ws://127.0.0.1:8081/"},
	"sse":       {[]string{"http", "https"}, []string{"header", "query", "cookie", "none"}, "http://127.0.0.1:8081/events"},
	"poll":      {[]string{"http", "https"}, []string{"header", "query", "cookie", "none"}, "http://127.0.0.1:8081/latest"},
}

// TokenPlaces returns where the viewers of a protocol can show a token, the
// protocol's own place first; nil for a protocol that is not known.
func TokenPlaces(protocol string) []string { return slices.Clone(manners[protocol].places) }

func (d *Descriptor) checkViewer(fault faultFunc) error {
	v := d.Viewer
	if !slices.Contains(protocols, v.Protocol) {
		return fault([]any{"viewer", "protocol"}, "is %q; known are %s%s", v.Protocol, strings.Join(protocols, ", "), guess(v.Protocol, protocols))
	}
	if holdsUser(v.URL) {
		return fault([]any{"viewer", "url"}, "holds a user name; viewers show who they are by a token, see auth")
	}
	how := manners[v.Protocol]
	switch s := scheme(v.URL); {
	case slices.Contains(how.schemes, s):
	case s == "":
		return fault([]any{"viewer", "url"}, "is missing; say where dashboards connect, for example %s", how.example)
	default:
		return fault([]any{"viewer", "url"}, "has scheme %q; protocol %s uses %s://", s, v.Protocol, strings.Join(how.schemes, ":// or "))
	}
	for i, address := range v.Also {
		switch {
		case holdsUser(address):
			return fault([]any{"viewer", "also", i}, "holds a user name; viewers show who they are by a token, see auth")
		case scheme(address) != scheme(v.URL):
			return fault([]any{"viewer", "also", i}, "is %q; all addresses of one system have the scheme of url, %s://", address, scheme(v.URL))
		}
	}
	return errors.Join(v.checkVersion(fault), v.checkMessage(fault), v.checkToken(fault, how))
}

func (v Viewer) checkVersion(fault faultFunc) error {
	switch {
	case v.MQTTVersion == "" || (v.Protocol == "mqtt" && slices.Contains(mqttVersions, v.MQTTVersion)):
		return nil
	case v.Protocol != "mqtt":
		return fault([]any{"viewer", "mqttVersion"}, "is for viewers that speak mqtt; these speak %s", v.Protocol)
	default:
		return fault([]any{"viewer", "mqttVersion"}, "is %q; known are %s, in quotes", v.MQTTVersion, strings.Join(mqttVersions, ", "))
	}
}

// pointers are JSON pointers in the form of RFC 6901 section 3.
var pointers = regexp.MustCompile(`^(/([^~/]|~[01])*)*$`)

func (v Viewer) checkMessage(fault faultFunc) error {
	for _, p := range []struct{ name, text string }{
		{"list", v.Message.List}, {"topic", v.Message.Topic}, {"payload", v.Message.Payload}, {"retained", v.Message.Retained}, {"missed", v.Message.Missed},
	} {
		if !pointers.MatchString(p.text) {
			return fault([]any{"viewer", "message", p.name}, "%q is no JSON pointer (RFC 6901): write /name for a member, /0 for an element, ~1 for / and ~0 for ~ in a name", p.text)
		}
	}
	if _, empty := v.Reply[""]; empty {
		return fault([]any{"viewer", "reply"}, "answers an empty frame; name what the server sends, for example {\"ping\": \"pong\"}")
	}
	for _, own := range []struct {
		key []any
		set bool
	}{
		{[]any{"viewer", "reply"}, len(v.Reply) > 0}, {[]any{"viewer", "resume"}, len(v.Resume) > 0},
		{[]any{"viewer", "message", "lines"}, v.Message.Lines}, {[]any{"viewer", "message", "missed"}, v.Message.Missed != ""},
	} {
		if own.set && v.Protocol != "json" {
			return fault(own.key, "is for viewers that speak json; these speak %s", v.Protocol)
		}
	}
	if v.Interval < 0 || (v.Interval > 0 && v.Interval < time.Millisecond) {
		return fault([]any{"viewer", "interval"}, "is %v; write a time with its unit, for example 1s", v.Interval)
	}
	return nil
}

func (v Viewer) checkToken(fault faultFunc, how manner) error {
	in := v.Token.In
	switch {
	case in == "" || slices.Contains(how.places, in):
		return nil
	case slices.Contains(places, in):
		return fault([]any{"viewer", "token", "in"}, "is %q, which protocol %s has no place for; it has %s", in, v.Protocol, strings.Join(how.places, ", "))
	default:
		return fault([]any{"viewer", "token", "in"}, "is %q; known are %s%s", in, strings.Join(places, ", "), guess(in, places))
	}
}

func (d *Descriptor) checkAuth(fault faultFunc) error {
	if d.Auth == nil || d.Auth.JWT == nil {
		return nil
	}
	j := d.Auth.JWT
	family, ok := algorithms[j.Alg]
	switch {
	case !ok:
		return fault([]any{"auth", "jwt", "alg"}, "is %q; known are %s", j.Alg, strings.Join(algorithmNames(), ", "))
	case family == "HS" && j.SecretFile == "":
		return fault([]any{"auth", "jwt", "secretFile"}, "is missing; %s needs the shared secret in a file", j.Alg)
	case family != "HS" && j.PrivateKeyFile == "":
		return fault([]any{"auth", "jwt", "privateKeyFile"}, "is missing; %s needs a PEM private key that signs tokens for tests", j.Alg)
	}
	return nil
}

func (d *Descriptor) checkCapabilities(fault faultFunc) error {
	known := Capabilities()
	for i, c := range d.Capabilities {
		if c == CapProperties && (d.Broker.MQTTVersion == "3.1.1" || d.Viewer.MQTTVersion == "3.1.1") {
			return fault([]any{"capabilities", i}, "%q needs MQTT 5 at the broker and at the viewers: 3.1.1 has no properties; leave it out", c)
		}
		if why := unaskable(c, d.Viewer.Protocol); why != "" {
			return fault([]any{"capabilities", i}, "%q cannot be asked of viewers of protocol %s: %s; leave it out", c, d.Viewer.Protocol, why)
		}
		if slices.Contains(known, c) || (strings.HasPrefix(c, "x-") && len(c) > 2) {
			continue
		}
		return fault([]any{"capabilities", i}, "%q is not known%s; names of your own begin with x-", c, guess(c, known))
	}
	return nil
}

// unaskable says why nothing can be found out about a capability by viewers of a
// protocol, "" when something can. A claim would be judged, and wrongly.
func unaskable(capability, protocol string) string {
	switch {
	case capability == CapCloseCodes && protocol != "plumbline":
		return "the documented codes are those of plumbline.v1"
	case capability == CapGapMarker && protocol != "plumbline":
		return "only plumbline.v1 has a form for it that the harness knows"
	case capability == CapProperties && protocol != "mqtt":
		return "only MQTT 5 has a form for them that the harness knows"
	case capability == CapCompression && (protocol == "sse" || protocol == "poll"):
		return "permessage-deflate is of WebSocket"
	case capability == CapHeartbeat && (protocol == "sse" || protocol == "poll"):
		return "they say nothing whose absence could be noticed, and what acknowledges the bytes is the kernel"
	}
	return ""
}

func guess(word string, known []string) string {
	if near := strictyaml.Nearest(word, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// holdsUser reports whether an address carries a user name or password before
// its host: addresses are printed, passwords must not be.
func holdsUser(address string) bool {
	_, rest, _ := strings.Cut(address, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Contains(rest, "@")
}

// scheme returns what stands before "://". Templates keep an address from
// being a URL that net/url would accept.
func scheme(address string) string {
	s, _, ok := strings.Cut(address, "://")
	if !ok {
		return ""
	}
	return s
}
