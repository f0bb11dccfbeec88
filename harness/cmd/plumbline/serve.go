package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/archive"
	"plumbline/reports/archive/serve"
)

func newServe(s streams) *cobra.Command {
	var opts serve.Options
	var listen string
	cmd := &cobra.Command{
		Use: "serve STORE", Short: "Show a store in a browser, and runs while they go on",
		Example: "plumbline serve reports/out",
		Long: `STORE is a folder of run directories, as for history; nothing is written to it. Shows what publish would build, anew
whenever the store changes, and each run that goes on: how far it is, its latest figures, what is broken on purpose just now.

It listens on this machine only. With another address in --listen everybody who reaches it may read the reports: it knows no
passwords, so put it behind something that does. Requests for another host name than localhost, a loopback address and those of
--host are refused, and so is what a page of another site asks for, unless it is a link that somebody follows. It ends with Ctrl-C, with exit code 0.`,
		Args: oneArg("a store, which is a folder of run directories"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Log = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			server, err := serve.New(args[0], opts)
			switch {
			case errors.Is(err, archive.ErrNoStore):
				return exit.Usage(err, "name a folder of run directories, such as reports/out")
			case errors.Is(err, serve.ErrHost):
				return exit.Usage(err, "--host takes the name or address alone, without scheme and port, for example bench.example")
			}
			if err != nil {
				return err
			}
			listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return exit.With(reports.ExitUnavailable, err, "name another address with --listen; 127.0.0.1:0 takes a free port")
			}
			if _, err := fmt.Fprintf(s.out, "serving: http://%s/ until Ctrl-C\n", listener.Addr()); err != nil {
				return errors.Join(err, listener.Close())
			}
			return server.Serve(cmd.Context(), listener)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8099", "address to listen on; port 0 takes a free one")
	cmd.Flags().StringArrayVar(&opts.Hosts, "host", nil, "host name or address, without a port, that requests may come for beside localhost; may be repeated")
	addSite(cmd, &opts.Site)
	return cmd
}
