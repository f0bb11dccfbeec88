package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/seal"
)

// publicKeyVariable stands in for verify --key.
const publicKeyVariable = envPrefix + "PUBLIC_KEY"

func newVerify(s streams) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use: "verify FILE|DIR", Short: "Check offline that a sealed run directory is unchanged and who signed it",
		Example: "plumbline verify reports/out/latest --key signer.pub.pem",
		Long: `Checks the signature, the digest of every file and that nothing is missing or was added.
FILE is a file of a run directory, for example its report.dsse.json. Without --key the public key stored
beside the report is used: that proves that nothing changed since the signing, not who signed.
Exit code 6 when anything is wrong; every failing file is named.`,
		Args: oneArg("a run directory or a file of one"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := runDirectory(args[0])
			if err != nil {
				return err
			}
			var pinned ed25519.PublicKey
			if keyFile != "" {
				if pinned, err = seal.LoadPublicKey(keyFile); err != nil {
					return exit.Usage(err, "--key takes the signer's public key in PEM form, such as signer.pub.pem")
				}
			}
			verified, err := seal.Verify(cmd.Context(), dir, pinned)
			if err != nil {
				return refuse(s.err, dir, err)
			}
			fmt.Fprintln(s.out, console.Clean(verified.String()))
			signer := "key taken from the directory itself, not pinned; --key FILE pins it"
			if verified.Pinned {
				signer = "key pinned by --key"
			}
			_, err = fmt.Fprintf(s.out, "verified: run %s, verdict %s, %d files, signed by %s (%s)\n",
				console.Clean(verified.Run), verified.Verdict, verified.Files, verified.KeyID, signer)
			return err
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "the signer's public key (PEM); pins who must have signed (environment: "+publicKeyVariable+")")
	// PLUMBLINE_KEY is the private key of certify and run.
	cmd.Flags().Lookup("key").Annotations = map[string][]string{envName: {publicKeyVariable}}
	return cmd
}

// runDirectory returns the directory that path is or lies in.
func runDirectory(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", exit.Usage(err, "name a run directory or a file of one")
	}
	if info.IsDir() {
		return path, nil
	}
	return filepath.Dir(path), nil
}

// refuse names every failing file, one a line.
func refuse(w io.Writer, dir string, err error) error {
	var all interface{ Unwrap() []error }
	failures := []error{err}
	if errors.As(err, &all) {
		failures = all.Unwrap()
	}
	named := 0
	for _, f := range failures {
		var known *seal.Error
		if errors.As(f, &known) {
			named++
			fmt.Fprintf(w, "%s: %s: %s\n", console.Clean(filepath.Join(dir, known.File)), known.Reason, console.Clean(known.Detail))
		}
	}
	if named == 0 {
		// Not a failed check: the check itself was not possible.
		return exit.With(reports.ExitVerify, fmt.Errorf("verify %q: %w", dir, err), "")
	}
	return exit.With(reports.ExitVerify, fmt.Errorf("verify %q: failed in %d files; do not trust this run directory", dir, named),
		"get the run directory again from whoever signed it")
}
