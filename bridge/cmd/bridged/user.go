package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"

	"plumbline/bridge"
)

// maxPassword is what bcrypt looks at: a longer one would be cut in silence.
const maxPassword = 72

// user keeps the users file: user add|passwd|remove NAME, user list.
func user(c call) int {
	f := newFlags(c, "user")
	var publish, subscribe settings
	path := f.String("file", "", "users `file`; default: mqtt.usersFile of the configuration")
	f.Var(&publish, "publish", "add: an MQTT `filter` of topics it may publish to; repeatable")
	f.Var(&subscribe, "subscribe", "add: an MQTT `filter` that it may subscribe to; repeatable")
	f.Usage = func() {
		_, _ = fmt.Fprintln(c.stderr, `bridged user add NAME [--publish FILTER]... [--subscribe FILTER]...
bridged user passwd NAME
bridged user remove NAME
bridged user list
The password comes from the terminal, or is the first line of standard input. A running bridge follows the file. Flags:`)
		f.PrintDefaults()
	}
	var words []string
	for len(c.args) > 0 && !strings.HasPrefix(c.args[0], "-") { // the words may stand before the flags
		words, c.args = append(words, c.args[0]), c.args[1:]
	}
	if code, ok := f.parse(c.args, 2); !ok {
		return code
	}
	words = append(words, f.Args()...)
	action, name, err := userWords(words)
	if err != nil {
		return f.bad("%v", err)
	}
	if action != "add" && len(publish)+len(subscribe) > 0 {
		return f.bad("--publish and --subscribe are for add: edit the file to change what a user may do")
	}
	if *path == "" {
		cfg, err := f.load()
		if err != nil {
			return fail(c.stderr, err)
		}
		if *path = cfg.MQTT.UsersFile; *path == "" {
			return f.bad("which file? mqtt.usersFile is not configured: name it with --config or --file")
		}
	}
	if action == "list" {
		return listUsers(c, *path)
	}
	if err := editUsers(c, *path, action, newUser{name, publish, subscribe}); err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %w", bridge.ErrConfig, err))
	}
	return exitOK
}

func userWords(words []string) (action, name string, err error) {
	if len(words) == 0 {
		return "", "", errors.New("want add, passwd, remove or list")
	}
	action = words[0]
	switch action {
	case "list":
		if len(words) > 1 {
			return "", "", fmt.Errorf("unexpected argument %q", words[1])
		}
		return action, "", nil
	case "add", "passwd", "remove":
		if len(words) != 2 {
			return "", "", fmt.Errorf("%s: want one NAME", action)
		}
	default:
		return "", "", fmt.Errorf("unknown action %q: want add, passwd, remove or list", action)
	}
	if name = words[1]; name == "" || len(name) > 256 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", "", fmt.Errorf("%s: the name is empty, longer than 256 bytes, not UTF-8 or has control characters", action)
	}
	return action, name, nil
}

// newUser is what add is told.
type newUser struct {
	name               string
	publish, subscribe []string
}

// editUsers changes the users file in one step, or leaves it as it is.
func editUsers(c call, path, action string, who newUser) error {
	raw, err := os.ReadFile(path)
	if err != nil && (action != "add" || !errors.Is(err, os.ErrNotExist)) {
		return err
	}
	if _, err := usersFor(raw, path, action, who.name); err != nil { // nobody types a password for nothing
		return err
	}
	var hash string
	if action != "remove" {
		if hash, err = readHash(c); err != nil {
			return err
		}
	}
	return replaceFile(path, action == "add", func(raw []byte) ([]byte, error) {
		text, err := usersFor(raw, path, action, who.name) // another edit may have come before
		if err != nil {
			return nil, err
		}
		switch action {
		case "add":
			return text.add(who, hash)
		case "passwd":
			return text.setHash(who.name, hash)
		}
		return text.remove(who.name)
	})
}

// usersFor reads the text of the users file for an action on a user: add needs that there is none of that name, the others need one.
func usersFor(raw []byte, path, action, name string) (*userText, error) {
	text, err := parseUsers(raw)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	switch has := text.find(name) >= 0; {
	case has && action == "add":
		return nil, fmt.Errorf("%q has a user %q already: bridged user passwd %s changes the password", path, name, name)
	case !has && action != "add":
		return nil, fmt.Errorf("%q has no user %q: bridged user list shows who is there", path, name)
	}
	return text, nil
}

// readHash asks for a password and returns its bcrypt hash. Passwords never come from arguments: those are for everybody to see.
func readHash(c call) (string, error) {
	password, err := readPassword(c)
	if err != nil {
		return "", err
	}
	switch {
	case len(password) == 0:
		return "", errors.New("the password is empty: nothing was changed")
	case len(password) > maxPassword:
		return "", fmt.Errorf("the password has %d bytes, bcrypt takes %d: nothing was changed", len(password), maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword(password, cmp.Or(c.cost, bcrypt.DefaultCost))
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	return string(hash), nil
}

func readPassword(c call) ([]byte, error) {
	if file, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return askPassword(c.stderr, func() ([]byte, error) { return typed(int(file.Fd())) })
	}
	line, err := bufio.NewReader(io.LimitReader(c.stdin, 4096)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("password: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// errInterrupted says that a signal ended what was under way, before anything was written.
var errInterrupted = errors.New("interrupted: nothing was changed")

// typed reads one line that is not shown. A signal ends that, and the terminal shows again what is typed; the read itself ends with
// the process.
func typed(terminal int) ([]byte, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-signals:
		return nil, errors.Join(errInterrupted, term.Restore(terminal, before))
	}
}

// askPassword asks twice.
func askPassword(w io.Writer, read func() ([]byte, error)) ([]byte, error) {
	var typed [2][]byte
	for i, prompt := range []string{"Password: ", "Once more: "} {
		_, _ = fmt.Fprint(w, prompt)
		var err error
		typed[i], err = read()
		_, _ = fmt.Fprintln(w)
		if err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
	}
	if !bytes.Equal(typed[0], typed[1]) {
		return nil, errors.New("the two passwords differ: nothing was changed")
	}
	return typed[0], nil
}

// listUsers prints who is in the file and what each may do; never hashes.
func listUsers(c call, path string) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %w", bridge.ErrConfig, err))
	}
	text, err := parseUsers(raw)
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %q: %w", bridge.ErrConfig, path, err))
	}
	for _, u := range text.users {
		_, _ = fmt.Fprintf(c.stdout, "%q publish %q subscribe %q\n", u.name(), u.filters("publish"), u.filters("subscribe"))
	}
	return exitOK
}
