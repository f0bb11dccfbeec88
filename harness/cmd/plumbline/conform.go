package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/ws"
	"plumbline/reports"
)

func newConform(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "conform", Short: "Judge a WebSocket server or an MQTT broker by its standard, from outside", Args: noArgs,
		Long: `Each rule of the standard is one case with its section, a verdict and the bytes that were exchanged.
MUST is what binds: exit code 0 when all that apply passed, 1 when one failed, 3 when one could not be decided,
4 when the server cannot be reached. It opens some hundred connections and sends what no client should:
do not point it at a system that others depend on.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConformWS(s), newConformMQTT(s))
	return cmd
}

// conformFlags are those of both suites.
type conformFlags struct {
	json     bool
	all      bool
	ca       string
	patience time.Duration
}

func (f *conformFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "print JSON, with the bytes that were exchanged")
	flags.BoolVar(&f.all, "all", false, "list the cases that passed or do not apply too")
	flags.StringVar(&f.ca, "ca", "", "PEM file of the authorities that vouch for the server; by default those of the system")
	limit(flags, &f.patience, "patience", ws.DefaultPatience, 10*time.Millisecond, 10*time.Second, "how long to wait for what ought to come at once")
}

// trust reads the authorities of --ca.
func (f *conformFlags) trust() (*tls.Config, error) {
	if f.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, exit.Usage(fmt.Errorf("--ca: %w", err), "name a PEM file that can be read")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, exit.Usage(fmt.Errorf("--ca %q holds no certificate", f.ca), "name a file with PEM blocks of the type CERTIFICATE")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}

// secretFile reads the first line of a file.
func secretFile(flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", exit.Usage(fmt.Errorf("--%s: %w", flag, err), "name a file that can be read")
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}

func newConformWS(s streams) *cobra.Command {
	var f conformFlags
	var headers []string
	var protocol, application, tokenFile string
	cmd := &cobra.Command{
		Use: "ws URL", Short: "Judge a WebSocket server by RFC 6455 and RFC 7692", Args: oneArg("the URL of the server"),
		Example: "plumbline conform ws wss://127.0.0.1:8443/ws --ca data/tls/ca.pem --application plumbline --token-file token",
		RunE: func(cmd *cobra.Command, args []string) error {
			trust, err := f.trust()
			if err != nil {
				return err
			}
			token, err := secretFile("token-file", tokenFile)
			if err != nil {
				return err
			}
			o, err := applicationOptions(application, token)
			if err != nil {
				return err
			}
			if o.Header, err = fields(headers); err != nil {
				return err
			}
			if protocol != "" {
				o.Subprotocol = protocol
			}
			o.Patience = f.patience
			r, err := ws.Run(cmd.Context(), ws.Target{URL: args[0], TLS: trust}, o)
			return f.finish(cmd.Context(), s, r, err)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&application, "application", "text", "what the server wants of its clients: text (takes any text), echo (sends it back), plumbline, mqtt")
	flags.StringVar(&tokenFile, "token-file", "", "file whose first line is the token of a viewer, for --application plumbline")
	flags.StringVar(&protocol, "subprotocol", "", "subprotocol to offer; by default that of the application")
	flags.StringArrayVar(&headers, "header", nil, "field of every handshake, as \"Origin: https://dashboard.example\"; may be given again")
	return cmd
}

// applicationOptions returns the options for a kind of application.
func applicationOptions(name, token string) (ws.Options, error) {
	switch name {
	case "text":
		return ws.Options{}, nil
	case "echo":
		return ws.Options{Echo: true}, nil
	case "mqtt":
		return ws.MQTT("", ""), nil
	case "plumbline":
		if token == "" {
			return ws.Options{}, exit.Usage(errors.New("--application plumbline needs --token-file"), "write a viewer's token into a file and name it")
		}
		return ws.Plumbline(func() (string, error) { return token, nil }), nil
	}
	return ws.Options{}, exit.Usage(fmt.Errorf("unknown application %q", name), "known are text, echo, plumbline, mqtt")
}

// fields reads "Name: value".
func fields(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) == "" {
			return nil, exit.Usage(fmt.Errorf("--header without a name and a colon"), `write it as "Name: value"`)
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, nil
}

func newConformMQTT(s streams) *cobra.Command {
	var f conformFlags
	var target mqtt.Target
	var o mqtt.Options
	var passwordFile string
	cmd := &cobra.Command{
		Use: "mqtt URL", Short: "Judge an MQTT broker by MQTT 3.1.1 and 5.0", Args: oneArg("the URL of the broker"),
		Example: "plumbline conform mqtt mqtt://127.0.0.1:1883",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if target.TLS, err = f.trust(); err != nil {
				return err
			}
			if target.Password, err = secretFile("password-file", passwordFile); err != nil {
				return err
			}
			target.URL, o.Patience = args[0], f.patience
			r, err := mqtt.Run(cmd.Context(), target, o)
			return f.finish(cmd.Context(), s, r, err)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&target.Username, "username", "", "user of the broker")
	flags.StringVar(&passwordFile, "password-file", "", "file whose first line is the user's password")
	flags.StringVar(&target.WebSocket, "websocket", "", "URL of the broker's listener for MQTT over WebSocket, to judge section 6 too")
	flags.StringSliceVar(&o.Lacks, "lacks", nil, "what the broker is declared not to have: "+strings.Join(mqtt.Lackable(), ", "))
	flags.StringVar(&o.Topics, "topics", "plumbline-conform", "first levels of all topics")
	return cmd
}

// finish prints the report and decides the exit code.
func (f *conformFlags) finish(ctx context.Context, s streams, r conform.Report, err error) error {
	switch {
	case errors.Is(err, conform.ErrUsage):
		return exit.Usage(err, "plumbline conform --help shows what it takes")
	case errors.Is(err, conform.ErrUnreachable) && ctx.Err() == nil:
		return exit.With(reports.ExitUnavailable, err, "start the server, or correct URL, credentials and options")
	case err != nil:
		return errors.Join(err, ctx.Err())
	}
	if f.json {
		err = writeJSON(s.out, r)
	} else {
		err = f.print(s.out, r)
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch r.Verdict() {
	case conform.Pass:
		return nil
	case conform.Fail:
		return leave(reports.ExitFail)
	default:
		return leave(reports.ExitInconclusive)
	}
}

// print writes a table: what failed or is undecided, or all, and the totals.
func (f *conformFlags) print(w io.Writer, r conform.Report) error {
	var b strings.Builder
	for _, c := range r.Cases {
		quiet := c.Verdict == conform.Pass || c.Verdict == conform.NotApplicable
		if quiet && !f.all {
			continue
		}
		verdict := string(c.Verdict)
		if c.Verdict == conform.NotRun {
			verdict = "not-run"
		}
		fmt.Fprintf(&b, "%-14s %-6s %-18s %s\n", verdict, c.Level, c.ID, c.Text)
		fmt.Fprintf(&b, "%-40s %s\n", "", c.Section)
		if c.Detail != "" {
			fmt.Fprintf(&b, "%-40s %s\n", "", console.Clean(c.Detail))
		}
	}
	for _, level := range []conform.Level{conform.Must, conform.Should} {
		fmt.Fprintf(&b, "%-6s %d passed, %d failed, %d undecided, %d not applicable\n", level, r.Count(level, conform.Pass), r.Count(level, conform.Fail),
			r.Count(level, conform.Inconclusive)+r.Count(level, conform.NotRun), r.Count(level, conform.NotApplicable))
	}
	fmt.Fprintf(&b, "%s of %s: %s, %d cases in %.1f s\n", r.Suite, console.Clean(r.Target), r.Verdict(), len(r.Cases), r.Took.Seconds())
	_, err := io.WriteString(w, b.String())
	return err
}
