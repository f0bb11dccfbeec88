package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports/archive/site"
)

// addSite adds the flags of what a site shows.
func addSite(cmd *cobra.Command, o *site.Options) {
	cmd.Flags().StringVar(&o.Title, "title", "", `title of the front page; without it "Test reports"`)
	limit(cmd.Flags(), &o.Keep, "keep", site.DefaultKeep, 1, 100_000, "run pages of each system and profile, the newest; older runs stay in the trends")
}

func newPublish(s streams) *cobra.Command {
	var opts site.Options
	var to string
	cmd := &cobra.Command{
		Use: "publish STORE --to DIR", Short: "Build a static site from the runs of a store",
		Example: "plumbline publish reports/out --to public",
		Long: `STORE is a folder of run directories, as for history; nothing is written to it. The site holds the newest verdict and badge
of each system and profile, trends with change-points, a page for each run, systems side by side, a search and a feed.

The same store gives the same bytes. All links are relative and the pages complete without scripts, so that DIR can be opened
from a file share or copied to GitHub Pages, GitLab Pages or any web server. DIR holds the old site or the new one at any time.
A folder that holds anything else than a site that publish wrote is refused and left alone.

Exit code 0 when the site was written, whatever the verdicts in it; plumbline history tells of regressions.`,
		Args: oneArg("a store, which is a folder of run directories"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return exit.Usage(errors.New("publish needs --to"), "name the folder of the site; "+example(cmd))
			}
			store, err := openStore(args[0])
			if err != nil {
				return err
			}
			built, err := site.Build(store, opts)
			if err != nil {
				return err
			}
			switch err := built.Write(to); {
			case errors.Is(err, site.ErrForeign):
				return exit.Usage(err, "name another folder with --to, one that is empty, does not exist or holds nothing but a site")
			case err != nil:
				return campaign.WriteError(to, err)
			}
			for _, a := range store.Aside {
				fmt.Fprintf(s.err, "ASIDE: %s: %s\n", console.Clean(a.Path), console.Clean(a.Why))
			}
			_, err = fmt.Fprintf(s.out, "published: %d runs, %d files; %s\n", len(store.Runs), len(built.Files), filepath.Join(to, site.FrontPage))
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "folder of the site; made when it does not exist")
	addSite(cmd, &opts)
	return cmd
}
