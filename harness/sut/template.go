package sut

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Templates of a descriptor: {{dir}} is a private folder that is removed
// afterwards, {{here}} the folder of the descriptor file, {{bridged}} the
// executable of bridged, {{port:NAME}} a free port that stays the same for the
// life of the SUT. {{filter}} and {{token}} are filled in by a viewer, for each
// connection, in viewer.hello and viewer.resume, where {{/pointer}} stands for what
// frames have said, and in viewer.page.url and viewer.page.signIn.body
// when the page is opened. In the viewer.url of sse and poll a viewer fills
// in {{filter}}, and in the query of poll {{/pointer}}: what that JSON pointer
// finds in the last answer.
var templates = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

var portName = regexp.MustCompile(`^port:[a-z][a-z0-9-]*$`)

// expander fills templates in; port is called for every {{port:NAME}}.
type expander struct {
	values map[string]string
	port   func(name string) (int, error)
	later  func(name string) bool // what is left for others to fill in; nil means nothing
}

func (x expander) expand(text string) (string, error) {
	var failed error
	out := templates.ReplaceAllStringFunc(text, func(match string) string {
		name := templates.FindStringSubmatch(match)[1]
		if value, ok := x.values[name]; ok {
			return value
		}
		if x.later != nil && x.later(name) {
			return match
		}
		if portName.MatchString(name) {
			port, err := x.port(strings.TrimPrefix(name, "port:"))
			if err != nil && failed == nil {
				failed = err
			}
			return fmt.Sprint(port)
		}
		if failed == nil {
			failed = fmt.Errorf("unknown template %s; known are {{%s}} and {{port:NAME}}", match, strings.Join(slices.Sorted(maps.Keys(x.values)), "}}, {{"))
		}
		return match
	})
	return out, failed
}

// apply fills in every text of the descriptor that may hold templates, apart
// from the frames of viewer.hello.
func (d *Descriptor) apply(x expander) error {
	for _, text := range d.texts() {
		out, err := d.expanderOf(x, text).expand(*text)
		if err != nil {
			return err
		}
		*text = out
	}
	return nil
}

// expanderOf returns x with what a viewer fills in later left alone.
func (d *Descriptor) expanderOf(x expander, text *string) expander {
	if later := laterInPage(d, text); later != nil {
		x.later = later
		return x
	}
	if text != &d.Viewer.URL && !slices.ContainsFunc(d.Viewer.Also, func(address string) bool { return address == *text }) {
		return x
	}
	switch d.Viewer.Protocol {
	case "sse":
		x.later = func(name string) bool { return name == "filter" }
	case "poll":
		x.later = func(name string) bool {
			return name == "filter" || (strings.HasPrefix(name, "/") && pointers.MatchString(name))
		}
	}
	return x
}

// texts returns every text that may hold templates.
func (d *Descriptor) texts() []*string {
	out := []*string{&d.Broker.URL, &d.Broker.PasswordFile, &d.Broker.CA,
		&d.Viewer.URL, &d.Viewer.CA, &d.Viewer.Origin, &d.Viewer.Page.URL, &d.Viewer.Page.SignIn.Post, &d.Viewer.Page.SignIn.Body, &d.Ops.Ready, &d.Ops.Metrics}
	for i := range d.Viewer.Also {
		out = append(out, &d.Viewer.Also[i])
	}
	for i := range d.Start {
		p := &d.Start[i]
		out = append(out, &p.Dir, &p.Ready.TCP, &p.Ready.HTTP, &p.Ready.Addresses)
		for j := range p.Command {
			out = append(out, &p.Command[j])
		}
		for j := range p.Ready.Command {
			out = append(out, &p.Ready.Command[j])
		}
		for j := range p.Env {
			out = append(out, &p.Env[j])
		}
		for j := range p.Files {
			out = append(out, &p.Files[j].Text)
		}
	}
	for _, hook := range d.Hooks.all() {
		for j := range hook {
			out = append(out, &hook[j])
		}
	}
	if d.Cluster != nil {
		out = append(out, d.Cluster.texts()...)
	}
	if d.Auth != nil {
		out = append(out, &d.Auth.RevocationFile)
		if d.Auth.JWT != nil {
			out = append(out, &d.Auth.JWT.SecretFile, &d.Auth.JWT.PrivateKeyFile)
		}
	}
	return out
}

// checkTemplates finds misspelt templates before anything is started.
func (d *Descriptor) checkTemplates(fault faultFunc) error {
	x := expander{
		values: map[string]string{"dir": "", "here": "", "bridged": ""},
		port:   func(string) (int, error) { return 0, nil },
	}
	for _, text := range d.texts() {
		if _, err := d.expanderOf(x, text).expand(*text); err != nil {
			return fault(nil, "%q: %v", *text, err)
		}
	}
	x.values = map[string]string{"filter": "", "token": ""}
	for i, frame := range d.Viewer.Hello {
		if _, err := x.expand(frame); err != nil {
			return fault([]any{"viewer", "hello", i}, "%v", err)
		}
	}
	x.later = pointed
	for i, frame := range d.Viewer.Resume {
		if _, err := x.expand(frame); err != nil {
			return fault([]any{"viewer", "resume", i}, "%v", err)
		}
	}
	return nil
}

// pointed reports whether a template names JSON pointers only.
func pointed(name string) bool {
	for text := range strings.SplitSeq(name, "|") {
		if text = strings.TrimSpace(text); text == "" || !pointers.MatchString(text) {
			return false
		}
	}
	return true
}

// public returns a copy for the artifacts: what is in the environment of a
// process is nobody's business, as passwords like to live there.
func (d *Descriptor) public() *Descriptor {
	c := d.clone()
	for _, p := range c.Start {
		for i, e := range p.Env {
			name, _, _ := strings.Cut(e, "=")
			p.Env[i] = name + "=(withheld)"
		}
	}
	return c
}

// clone returns a deep copy, so that filling in templates leaves the original alone.
func (d *Descriptor) clone() *Descriptor {
	c := *d
	c.Start = slices.Clone(d.Start)
	for i := range c.Start {
		c.Start[i].Command = slices.Clone(c.Start[i].Command)
		c.Start[i].Ready.Command = slices.Clone(c.Start[i].Ready.Command)
		c.Start[i].Env = slices.Clone(c.Start[i].Env)
		c.Start[i].Files = slices.Clone(c.Start[i].Files)
	}
	c.Viewer.Also = slices.Clone(d.Viewer.Also)
	c.Viewer.Hello = slices.Clone(d.Viewer.Hello)
	c.Viewer.Resume = slices.Clone(d.Viewer.Resume)
	c.Viewer.Reply = maps.Clone(d.Viewer.Reply)
	c.Capabilities = slices.Clone(d.Capabilities)
	c.Hooks.RestartBroker = slices.Clone(d.Hooks.RestartBroker)
	c.Hooks.RestartBridge = slices.Clone(d.Hooks.RestartBridge)
	c.Hooks.KillBridge = slices.Clone(d.Hooks.KillBridge)
	c.Hooks.StepClock = slices.Clone(d.Hooks.StepClock)
	c.Hooks.ReloadBalancer = slices.Clone(d.Hooks.ReloadBalancer)
	c.Cluster = d.Cluster.clone()
	if d.Auth != nil {
		auth := *d.Auth
		c.Auth = &auth
		if auth.JWT != nil {
			jwt := *auth.JWT
			c.Auth.JWT = &jwt
		}
	}
	return &c
}
