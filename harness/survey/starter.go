package survey

import (
	"bytes"
	"crypto/tls"
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"

	"plumbline/harness/mqttwire"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

//go:embed starter.yaml.tmpl
var starterText string

var starter = template.Must(template.New("starter").Delims("<<", ">>").Funcs(template.FuncMap{"quote": quote}).Parse(starterText))

// sheet is what the template prints.
type sheet struct {
	Findings
	Name, BrokerURL, ViewerURL       string
	Protocol, Subprotocol            string
	List, Topic, Payload             string
	Hello                            []string
	Place, MQTTVersion               string
	Capabilities                     []string
	BrokerNotes, ViewerNotes, Others []string
}

// Descriptor writes the findings down as a commented descriptor, which Parse of
// harness/sut accepts. name is that of the system.
func (f Findings) Descriptor(name string) ([]byte, error) {
	s := sheet{
		Findings: f, Name: name, BrokerURL: f.Options.Broker, ViewerURL: f.Options.Viewer, Hello: f.Options.Hello,
		Protocol: f.Viewer.Protocol, Subprotocol: f.Viewer.Subprotocol, Place: "none",
		BrokerNotes: f.brokerNotes(), ViewerNotes: f.viewerNotes(),
	}
	if f.Broker.MQTT == mqttwire.V311 {
		s.MQTTVersion = mqttName(f.Broker.MQTT)
	}
	if s.BrokerURL == "" {
		s.BrokerURL = "mqtt://127.0.0.1:1883"
	}
	if s.ViewerURL == "" {
		s.ViewerURL = "ws://127.0.0.1:8080/"
	}
	if s.Protocol == "" {
		s.Protocol = viewer.JSON
		if strings.HasPrefix(s.ViewerURL, "http") {
			s.Protocol = viewer.Poll
		}
	}
	s.List, s.Topic, s.Payload = f.Viewer.Shape.List, f.Viewer.Shape.Topic, f.Viewer.Shape.Payload
	if !f.Viewer.Seen && !f.Viewer.Named {
		s.Topic, s.Payload = "/topic", "/data"
	}
	if f.Viewer.needsToken() {
		s.Place = sut.TokenPlaces(s.Protocol)[0]
		s.Capabilities = append(s.Capabilities, sut.CapAuth)
	}
	if f.Viewer.TLS.Version != 0 {
		s.Capabilities = append(s.Capabilities, sut.CapTLS)
	}
	var out bytes.Buffer
	if err := starter.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("survey: descriptor: %w", err)
	}
	if _, err := sut.Parse(out.Bytes(), name, ""); err != nil {
		return nil, fmt.Errorf("survey: descriptor: %w", err)
	}
	return out.Bytes(), nil
}

// quote writes a text as a YAML scalar of one line.
func quote(text string) (string, error) {
	out, err := yaml.MarshalWithOptions(text, yaml.JSON())
	return strings.TrimSpace(string(out)), err
}

func (f Findings) brokerNotes() (notes []string) {
	b := f.Broker
	switch {
	case f.Options.Broker == "":
		return []string{"the broker was not looked at: give --broker URL"}
	case !b.Reached:
		return []string{"the broker could not be reached: " + reason(b.Err)}
	}
	switch {
	case b.Code == 0x86 || b.Code == 0x87 || b.Code == 4 || b.Code == 5:
		notes = append(notes, "the broker refuses a device without a password: set username, and passwordFile to a file that holds it")
	case b.Err != nil:
		notes = append(notes, "the broker: "+reason(b.Err))
	default:
		notes = append(notes, "the broker speaks MQTT "+mqttName(b.MQTT)+", takes devices without a password")
	}
	if b.Version != "" {
		notes = append(notes, fmt.Sprintf("the broker calls itself %q", b.Version))
	}
	return append(notes, b.TLS.notes()...)
}

// mqttName writes a version as descriptors do.
func mqttName(version byte) string {
	if version == mqttwire.V311 {
		return "3.1.1"
	}
	return "5"
}

func (f Findings) viewerNotes() (notes []string) {
	v := f.Viewer
	if f.Options.Viewer == "" {
		return []string{"the way of viewers was not looked at: give --viewer URL"}
	}
	switch {
	case v.Err != nil:
		notes = append(notes, "the way of viewers could not be looked at: "+reason(v.Err))
	case v.needsToken():
		notes = append(notes, fmt.Sprintf("refuses a viewer without a token (HTTP status %d, close code %d): say in auth how to make one", v.Status, v.CloseCode))
	case v.Status != 0:
		notes = append(notes, fmt.Sprintf("answers with HTTP status %d %s", v.Status, http.StatusText(v.Status)))
	default:
		notes = append(notes, "lets a viewer in without a token")
		if v.Foreign {
			notes = append(notes, "lets pages of any origin in")
		}
	}
	if v.Why != "" {
		notes = append(notes, fmt.Sprintf("protocol %s, because %s", v.Protocol, v.Why))
	}
	if v.Seen {
		how := "text"
		if v.Shape.Object {
			how = "JSON, which is compared by what it says"
		}
		notes = append(notes, "payloads are passed on as "+how)
	}
	return append(notes, v.TLS.notes()...)
}

func (t TLS) notes() []string {
	switch {
	case t.Version == 0:
		return nil
	case t.Trusted:
		return []string{fmt.Sprintf("%s, certificate of %s", tls.VersionName(t.Version), t.Issuer)}
	default:
		return []string{fmt.Sprintf("%s, certificate of %s that this machine does not trust (%s): name its authority as ca", tls.VersionName(t.Version), t.Issuer, t.Why)}
	}
}

func reason(err error) string {
	if err == nil {
		return "for no known reason"
	}
	return printable(err.Error())
}
