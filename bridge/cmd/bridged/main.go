// Command bridged is the bridge as a daemon, with the helpers of those who run it. "bridged help" lists them.
//
// SIGTERM or SIGINT drains and exits 0, a second one exits at once; SIGHUP reads log.level anew and looks for new
// certificates, token keys and MQTT users. Exit codes: 0 good end, 1 refused (a bad token, not ready), 2 usage or configuration
// (and what Go ends by after a panic, unless GOTRACEBACK=crash), 4 something needed is not available (a port in use, a data
// folder held by another bridge, a full disk), 5 internal fault, 130 second signal.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"plumbline/bridge"
	"plumbline/bridge/config"
)

// Exit codes.
const (
	exitOK          = 0
	exitRefused     = 1
	exitUsage       = 2
	exitUnavailable = 4
	exitInternal    = 5
	exitInterrupted = 130
)

// version is set by the linker (see the Makefile).
var version = ""

func main() {
	os.Exit(run(call{args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}))
}

// call is what a command gets from the outside.
type call struct {
	args, environ  []string
	stdin          io.Reader
	stdout, stderr io.Writer
	cost           int // of new password hashes; 0 = bcrypt's default
}

// command is one verb.
type command struct {
	name, synopsis, about string
	run                   func(call) int
}

func commands() []command {
	return []command{
		{"check-config", "[flags]", "read the configuration and the files it names, say what is wrong", checkConfig},
		{"token", "--sub NAME --grants FILTER... | --verify FILE", "make a token for a viewer, or say what one is worth", token},
		{"dashboard", "--sub NAME --grants FILTER...", "print a link and a code by which somebody signs in to the dashboard", dashboard},
		{"user", "add|passwd|remove NAME | list", "keep the users file of the MQTT side", user},
		{"schema", "", "print the JSON schema of the configuration", printSchema},
		{"health", "[flags]", "ask the running bridge whether it is ready", health},
		{"version", "", "print the version", printVersion},
	}
}

func run(c call) int {
	if len(c.args) == 0 || strings.HasPrefix(c.args[0], "-") {
		return daemon(c)
	}
	name := c.args[0]
	c.args = c.args[1:]
	for _, one := range commands() {
		if one.name == name {
			return one.run(c)
		}
	}
	if name == "help" {
		usage(c.stdout)
		return exitOK
	}
	_, _ = fmt.Fprintf(c.stderr, "bridged: unknown command %q; known are:\n", name)
	usage(c.stderr)
	return exitUsage
}

func usage(w io.Writer) {
	_, _ = fmt.Fprintf(w, "  %-14s %s\n", "bridged", "run the bridge; bridged --help lists its flags")
	for _, one := range commands() {
		_, _ = fmt.Fprintf(w, "  %-14s %s\n", one.name, one.about)
	}
	_, _ = fmt.Fprintf(w, "  %-14s %s\n", "help", "this list; COMMAND --help tells more")
}

// settings is a repeatable flag.
type settings []string

func (s *settings) String() string     { return strings.Join(*s, " ") }
func (s *settings) Set(v string) error { *s = append(*s, v); return nil }

// flags are a command's own flags and those that name the configuration.
type flags struct {
	*flag.FlagSet
	c    call
	file *string
	sets settings
}

// newFlags begins the flags of a command. name is as the user types it.
func newFlags(c call, name string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet("bridged "+name, flag.ContinueOnError), c: c}
	f.SetOutput(c.stderr)
	f.file = f.String("config", "", "configuration `file`; without one the defaults hold")
	f.Var(&f.sets, "set", "override one setting, as `key=value`; repeatable")
	return f
}

// parse reads the arguments, of which more may be no flags. Without ok the command ends with code.
func (f *flags) parse(args []string, more int) (code int, ok bool) {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitUsage, false
	case f.NArg() > more:
		_, _ = fmt.Fprintf(f.c.stderr, "%s: unexpected argument %q\n", f.Name(), f.Arg(more))
		return exitUsage, false
	}
	return exitOK, true
}

// load reads the configuration.
func (f *flags) load() (config.Config, error) { return config.Load(*f.file, f.c.environ, f.sets) }

// bad says what was wrong with the command line.
func (f *flags) bad(format string, args ...any) int {
	_, _ = fmt.Fprintf(f.c.stderr, "%s: %s\n", f.Name(), fmt.Sprintf(format, args...))
	return exitUsage
}

// fail prints the error and returns its exit code.
func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "bridged: %v\n", err)
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, errCut):
		return exitInterrupted
	case errors.Is(err, bridge.ErrConfig):
		return exitUsage
	case errors.Is(err, bridge.ErrUnavailable):
		return exitUnavailable
	}
	return exitInternal
}

func checkConfig(c call) int {
	f := newFlags(c, "check-config")
	if code, ok := f.parse(c.args, 0); !ok {
		return code
	}
	cfg, err := f.load()
	if err == nil {
		err = bridge.Check(cfg)
	}
	if err != nil {
		return fail(c.stderr, err)
	}
	_, _ = fmt.Fprintln(c.stdout, "configuration is good")
	return exitOK
}

func printSchema(c call) int {
	f := newFlags(c, "schema")
	if code, ok := f.parse(c.args, 0); !ok {
		return code
	}
	_, _ = c.stdout.Write(config.Schema())
	return exitOK
}

func printVersion(c call) int {
	f := newFlags(c, "version")
	if code, ok := f.parse(c.args, 0); !ok {
		return code
	}
	_, _ = fmt.Fprintln(c.stdout, versionText())
	return exitOK
}

func versionText() string {
	text, revision := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if text == "" {
			text = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	if text == "" {
		text = "devel"
	}
	return "bridged " + text + revision
}
