package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/spec"
	"plumbline/harness/survey"
)

// initFlags is what init takes.
type initFlags struct {
	look  survey.Options
	ca    string
	name  string
	out   string
	force bool
}

func newInit(s streams) *cobra.Command {
	f := &initFlags{}
	cmd := &cobra.Command{
		Use: "init", Short: "Write a descriptor of another bridge to start from, after a look at it", Args: noArgs,
		Long: `Init writes a commented descriptor for plumbline certify --sut. With --broker and --viewer it looks first:
what the broker speaks, which subprotocol the server of the viewers chooses, whether it wants a token, what its
certificate is worth. With both it publishes messages on --topic and guesses from what comes back where topic and
payload stand in a frame. It shows nobody a password or token, asks nothing, and ends after some seconds.`,
		Example: "plumbline init --broker mqtt://127.0.0.1:1883 --viewer ws://127.0.0.1:8080/ -o bridge.sut.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), s) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.look.Broker, "broker", "", "address of the broker that devices publish to, mqtt:// or mqtts://")
	flags.StringVar(&f.look.Viewer, "viewer", "", "address that dashboards connect to, ws://, wss://, http:// or https://")
	flags.StringVar(&f.look.Topic, "topic", survey.DefaultTopic, "topic to publish on, to see what becomes of a message")
	flags.StringVar(&f.look.Origin, "origin", "", "origin of a page that the system lets in")
	flags.StringArrayVar(&f.look.Hello, "hello", nil, "frame that a viewer sends after the handshake; may be repeated")
	limit(flags, &f.look.Wait, "wait", survey.DefaultWait, time.Millisecond, time.Hour, "how long to wait for the message")
	flags.StringVar(&f.ca, "ca", "", "certificates of authorities to trust (PEM); by default those of this machine")
	flags.StringVar(&f.name, "name", "my-bridge", "name of the system")
	flags.StringVarP(&f.out, "output", "o", "bridge.sut.yaml", "file to write, - for the standard output")
	flags.BoolVar(&f.force, "force", false, "overwrite the file if it is there")
	return cmd
}

func (f *initFlags) run(ctx context.Context, s streams) error {
	if err := f.check(); err != nil {
		return err
	}
	found := survey.Look(ctx, f.look)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text, err := found.Descriptor(f.name)
	if err != nil {
		return err
	}
	if f.out == "-" {
		_, err := s.out.Write(text)
		return err
	}
	if err := f.write(text); err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if note, ok := strings.CutPrefix(line, "# found: "); ok {
			fmt.Fprintf(s.out, "found: %s\n", console.Clean(note))
		}
	}
	fmt.Fprintf(s.out, "written: %s\ncomplete it, then: plumbline run --profile smoke --sut %s\n", f.out, spec.Quote(f.out))
	return nil
}

// check finds what is wrong before anything is asked.
func (f *initFlags) check() error {
	if err := f.look.Check(); err != nil {
		return exit.Usage(err, "plumbline init --help shows the forms")
	}
	if f.name == "" {
		return exit.Usage(errors.New("--name must not be empty"), "leave it out")
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return exit.Usage(fmt.Errorf("--ca: %w", err), "name a file of certificates in PEM")
		}
		f.look.Authorities = x509.NewCertPool()
		if !f.look.Authorities.AppendCertsFromPEM(pem) {
			return exit.Usage(fmt.Errorf("--ca: %q holds no certificate", f.ca), "name a file of certificates in PEM")
		}
	}
	if _, err := os.Lstat(f.out); f.out != "-" && err == nil && !f.force {
		return exit.Usage(fmt.Errorf("%q is there already", f.out), "name another file with -o, or overwrite it with --force")
	}
	return nil
}

// write makes the file; one that came meanwhile is not overwritten either.
func (f *initFlags) write(text []byte) error {
	how := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if f.force {
		how = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	file, err := os.OpenFile(f.out, how, 0o644) //nolint:gosec // a descriptor holds no secret
	if err != nil {
		return exit.Usage(fmt.Errorf("write the descriptor: %w", err), "name another file with -o")
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
