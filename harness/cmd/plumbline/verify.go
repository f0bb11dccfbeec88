package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
	"plumbline/reports/seal/keystore"
)

// publicKeyVariable stands in for verify --key.
const publicKeyVariable = envPrefix + "PUBLIC_KEY"

// verifyFlags is what the verifier knows and asks.
type verifyFlags struct {
	key       string // public key file
	keys      string // folder with root.pub.pem and, perhaps, a key list
	at        string
	artifacts []string
	recompute bool
}

func newVerify(s streams) *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use: "verify FILE|DIR", Short: "Check offline that a sealed run or certificate is unchanged, who signed it, and that it holds",
		Example: "plumbline verify reports/out/latest --keys KEYS\nplumbline verify certificate.dsse.json --keys KEYS --artifact bin/bridged",
		Long: `Checks signatures, the digest of every file and that nothing is missing or was added, the keys and the period of
a certificate. FILE is a file of a run directory, or a certificate or detail statement that stands alone.
--keys names a folder with the signer's root.pub.pem and his newest keys.dsse.json: who signs, for what, until when, and what is
revoked. --key pins one signing key instead. With neither, the keys stored beside the report are used: that proves that nothing
changed since the signing, not who signed.
Exit code 6 when anything is wrong; every failing file is named, with the reason and what to do.`,
		Args: oneArg("a run directory or a file of one"),
		RunE: func(cmd *cobra.Command, args []string) error {
			trust, err := f.trust()
			if err != nil {
				return err
			}
			if isSingle(args[0]) {
				return verifySingle(cmd.Context(), s, f, args[0], trust)
			}
			return verifyRun(cmd.Context(), s, f, args[0], trust)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "the signer's public key (PEM); pins who must have signed (environment: "+publicKeyVariable+")")
	// PLUMBLINE_KEY is the private key of certify and run.
	flags.Lookup("key").Annotations = map[string][]string{envName: {publicKeyVariable}}
	flags.StringVar(&f.keys, "keys", "", "folder with the signer's "+keystore.RootPublicFile+" and his newest "+seal.KeysFile)
	flags.StringVar(&f.at, "at", "", "ask what held at that time (2027-01-31 or 2027-01-31T12:00:00Z): what was issued by then, and whether its root and a certificate were valid; without it now")
	flags.StringArrayVar(&f.artifacts, "artifact", nil, "a file that must be one of those tested, for example the bridge that you run; may be repeated")
	flags.BoolVar(&f.recompute, "recompute", false, "judge the run again from its records as well, and compare")
	return cmd
}

// trust reads what the verifier knows.
func (f *verifyFlags) trust() (seal.Trust, error) {
	trust := seal.Trust{At: time.Now()}
	if f.key != "" && f.keys != "" {
		return trust, exit.Usage(errors.New("--key and --keys exclude each other"), "--keys pins the root that vouches for keys, --key one key: leave one out")
	}
	if f.at != "" {
		at, err := parseMoment(f.at)
		if err != nil {
			return trust, exit.Usage(err, "--at takes a day or a time of RFC 3339, for example 2027-01-31 or 2027-01-31T12:00:00Z")
		}
		trust.At = at
	}
	if f.key != "" {
		public, err := seal.LoadPublicKey(f.key)
		trust.Key = public
		return trust, exit.Usage(err, "--key takes the signer's public key in PEM form, such as signer.pub.pem")
	}
	if f.keys != "" {
		list, root, err := keystore.Open(f.keys, "", time.Now).Published()
		if err != nil {
			return trust, exit.Usage(err, "--keys takes a folder with the signer's "+keystore.RootPublicFile+" and his "+seal.KeysFile)
		}
		trust.Root, trust.List = root, list
	}
	return trust, nil
}

func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", text)
}

// isSingle tells a statement that stands alone from a file of a run directory.
func isSingle(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() || !strings.HasSuffix(path, ".dsse.json") {
		return false
	}
	for _, name := range []string{seal.ManifestFile, render.SummaryFile} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// verifyRun checks a run directory and prints what was established.
func verifyRun(ctx context.Context, s streams, f *verifyFlags, path string, trust seal.Trust) error {
	dir, err := runDirectory(path)
	if err != nil {
		return err
	}
	verified, err := seal.Check(ctx, dir, trust)
	if err != nil {
		return refuse(s.err, dir, fmt.Sprintf("verify %q: failed; do not trust this run directory", dir), err)
	}
	fmt.Fprintln(s.out, console.Clean(verified.String()))
	if err := checkArtifacts(ctx, s, f.artifacts, verified.Artifacts); err != nil {
		return err
	}
	if f.recompute {
		if err := recomputeRun(ctx, s, dir); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "verified: run %s, verdict %s, %d files, signed by %s (%s)\n",
		console.Clean(verified.Run), verified.Verdict, verified.Files, verified.KeyID, whose(trust))
	return err
}

// verifySingle checks a statement that stands alone.
func verifySingle(ctx context.Context, s streams, f *verifyFlags, path string, trust seal.Trust) error {
	if f.recompute {
		return exit.Usage(fmt.Errorf("--recompute needs the run directory, %q is a statement alone", path), "name the directory of its run")
	}
	single, err := seal.CheckSingle(ctx, path, trust)
	if err != nil {
		return refuse(s.err, filepath.Dir(path), fmt.Sprintf("verify %q: failed; do not trust this statement", path), err)
	}
	for _, a := range single.Subjects {
		fmt.Fprintf(s.out, "  %s  %s\n", console.Clean(a.SHA256), console.Clean(a.Path))
	}
	if err := checkArtifacts(ctx, s, f.artifacts, single.Subjects); err != nil {
		return err
	}
	until := ""
	if !single.NotAfter.IsZero() {
		until = ", holds until " + single.NotAfter.UTC().Format(time.RFC3339)
	}
	_, err = fmt.Fprintf(s.out, "verified: %s statement %s of run %s, issued %s%s, signed by %s (%s); its evidence is in the run directory and was not looked at\n",
		single.Kind, console.Clean(single.Certificate), console.Clean(single.Run), single.Issued.UTC().Format(time.RFC3339), until, single.KeyID, whose(trust))
	return err
}

// checkArtifacts insists that the reader's own files are among those tested.
func checkArtifacts(ctx context.Context, s streams, own []string, tested []reports.Evidence) error {
	var failed []error
	for _, path := range own {
		as, err := seal.CheckArtifact(ctx, path, tested)
		var known *seal.Error
		switch {
		case errors.As(err, &known):
			failed = append(failed, err)
		case err != nil:
			return exit.Usage(err, "--artifact takes a file of your own")
		default:
			fmt.Fprintf(s.out, "artifact %s is %s of this run\n", console.Clean(path), console.Clean(as.Path))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return refuse(s.err, "", fmt.Sprintf("%d files of yours are not what was tested", len(failed)), errors.Join(failed...))
}

func whose(trust seal.Trust) string {
	switch {
	case trust.Key != nil:
		return "key pinned by --key"
	case trust.Root != nil:
		return "vouched for by the root that --keys pins"
	default:
		return "key taken from the directory itself, not pinned; --key FILE or --keys DIR pins it"
	}
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

// refuse names every failing file, one a line, and returns what follows from it
// and what to do about it.
func refuse(w io.Writer, dir, verdict string, err error) error {
	var all interface{ Unwrap() []error }
	failures := []error{err}
	if errors.As(err, &all) {
		failures = all.Unwrap()
	}
	var mends []string
	for _, f := range failures {
		var known *seal.Error
		if errors.As(f, &known) {
			fmt.Fprintf(w, "%s: %s: %s\n", console.Clean(filepath.Join(dir, known.File)), known.Reason, console.Clean(known.Detail))
			if mend := known.Reason.Mend(); !slices.Contains(mends, mend) {
				mends = append(mends, mend)
			}
		}
	}
	if len(mends) == 0 {
		// Not a failed check: the check itself was not possible.
		return exit.With(reports.ExitVerify, fmt.Errorf("verify %q: %w", dir, err), "")
	}
	return exit.With(reports.ExitVerify, errors.New(verdict), strings.Join(mends, "; "))
}
