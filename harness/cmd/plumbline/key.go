package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/seal"
	"plumbline/reports/seal/keystore"
)

// keyFlags is what the verbs of key take in common.
type keyFlags struct {
	dir  string // of the store; "" means the user's
	root string // private key of the root; "" means that of the store
}

func newKey(s streams) *cobra.Command {
	f := &keyFlags{}
	cmd := &cobra.Command{
		Use: "key", Short: "Make, list, rotate and revoke the keys that sign reports",
		Long: `A root key vouches for the keys of rigs in a signed list, keys.dsse.json, which says of each what it may sign, from when
until when (12 months at most), for which laboratory, and whether it is revoked. Whoever verifies pins root.pub.pem.
certify and run sign with the store in the user's configuration folder when there is one. Each rig has a pair of keys: Ed25519 for the
statements, P-256 for Sigstore bundles. Private keys are files of mode 0600 without passphrase: keep the root's on a
medium of its own (--root), and copy to a rig its pair, root.pub.pem and keys.dsse.json only.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.dir, "keys", "", "folder of the keys; by default keys in the user's configuration folder of plumbline")
	cmd.PersistentFlags().StringVar(&f.root, "root", "", "the root's private key, when it is kept elsewhere")
	cmd.AddCommand(newKeyNew(s, f), newKeyList(s, f), newKeyShow(s, f), newKeyRotate(s, f), newKeyRevoke(s, f))
	return cmd
}

// store opens the store and says where it is.
func (f *keyFlags) store() (*keystore.Store, string, error) {
	dir := f.dir
	if dir == "" {
		var err error
		if dir, err = campaign.DefaultKeys(); err != nil {
			return nil, "", err
		}
	}
	return keystore.Open(dir, f.root, time.Now), dir, nil
}

// keyError tells what is the user's to mend. A damaged list is a failed verification.
func keyError(err error) error {
	var damaged *seal.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &damaged):
		return exit.With(reports.ExitVerify, err, damaged.Reason.Mend())
	case errors.Is(err, keystore.ErrEmpty):
		return exit.Usage(err, "plumbline key new makes the first key and the root")
	case errors.Is(err, keystore.ErrLost):
		return exit.Usage(err, "put back the newest "+seal.KeysFile+" of this root, from a backup, from whom it was published to or from the newest run directory that it signed "+
			"(plumbline key list shows its number); when there never was one, remove the root's two files and let key new make another")
	case errors.Is(err, keystore.ErrNoRoot):
		return exit.Usage(err, "do it where the root's private key is, or name it with --root")
	case errors.Is(err, keystore.ErrUnknown):
		return exit.Usage(err, "plumbline key list shows all")
	case errors.Is(err, keystore.ErrBusy):
		return exit.Usage(err, "wait for the other command; when none runs, do as the message says")
	default:
		return exit.Usage(err, "plumbline key --help says how keys are kept")
	}
}

func newKeyNew(s streams, f *keyFlags) *cobra.Command {
	var r keystore.Request
	purposes := []string{string(seal.ForReports), string(seal.ForCertificates)}
	cmd := &cobra.Command{
		Use: "new", Short: "Make a pair of signing keys; in an empty folder the root as well", Args: noArgs,
		Example: `plumbline key new --holder "Example Laboratory" --address "1 Test Street, Exampletown" --rig "rig 7" --site "hall 3"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.Holder == "" {
				return exit.Usage(errors.New("--holder is missing"), "name the laboratory that the key signs for; its name is put on every report")
			}
			for _, p := range purposes {
				r.Purposes = append(r.Purposes, seal.Purpose(p))
			}
			store, dir, err := f.store()
			if err != nil {
				return err
			}
			made, err := store.New(cmd.Context(), r)
			if err != nil {
				return keyError(err)
			}
			return tellMade(s.out, dir, made)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.Holder, "holder", "", "laboratory that the key signs for; put on every report")
	flags.StringVar(&r.Address, "address", "", "its address")
	flags.StringVar(&r.Rig, "rig", "", "test equipment that the key is for")
	flags.StringVar(&r.Site, "site", "", "where that stands")
	flags.StringSliceVar(&purposes, "purpose", purposes, "what the key may sign")
	limit(flags, &r.Life, "life", 365*24*time.Hour, time.Minute, seal.MaxRigKeyLife, "how long it is valid, 8784h at most")
	return cmd
}

// tellMade says what was made and what to do with it.
func tellMade(w io.Writer, dir string, made *keystore.Made) error {
	var b strings.Builder
	if made.NewRoot {
		fmt.Fprintf(&b, "root    %s (made now; publish this fingerprint, and move %s to a medium of its own)\n", made.Root, keystore.RootFile)
	}
	for i, r := range made.Keys {
		fmt.Fprintf(&b, "key     %s %s until %s, private in %s\n", r.ID, r.Algorithm, r.ValidUntil.Format(time.RFC3339), console.Clean(made.Files[i]))
	}
	fmt.Fprintf(&b, "list    %s: give it with %s to whoever verifies\n", console.Clean(filepath.Join(dir, seal.KeysFile)), keystore.RootPublicFile)
	_, err := fmt.Fprint(w, b.String())
	return err
}

func newKeyList(s streams, f *keyFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "Show the key list: what each key may sign, until when, and what is revoked", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, _, err := f.store()
			if err != nil {
				return err
			}
			list, err := store.List(cmd.Context())
			if err != nil {
				return keyError(err)
			}
			if asJSON {
				return printJSON(s.out, list)
			}
			var b strings.Builder
			fmt.Fprintf(&b, "list number %d of %s, root %s\n", list.Sequence, list.Issued.Format(time.RFC3339), list.Root.ID)
			for _, r := range list.Keys {
				fmt.Fprintf(&b, "%s  %-17s  %s to %s  %-22s  %s  %s\n", r.ID[:16], r.Algorithm, r.ValidFrom.Format(time.DateOnly), r.ValidUntil.Format(time.DateOnly),
					joinPurposes(r.Purposes), state(r, time.Now()), console.Clean(strings.TrimSpace(r.Holder+" "+r.Rig)))
			}
			_, err = fmt.Fprint(s.out, b.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

func newKeyShow(s streams, f *keyFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one key and its public half", Example: "plumbline key show 0123456789ab",
		Args: oneArg("the beginning of a key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, _, err := f.store()
			if err != nil {
				return err
			}
			found, err := store.Find(cmd.Context(), args[0])
			if err != nil {
				return keyError(err)
			}
			return printJSON(s.out, found[0])
		},
	}
}

func newKeyRotate(s streams, f *keyFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rotate ID", Short: "Replace a pair of keys; what the old one signed stays good", Example: "plumbline key rotate 0123456789ab",
		Long: `Makes a new pair for the same laboratory and rig, ends the validity of the old one now and removes its private files.`,
		Args: oneArg("the beginning of a key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, dir, err := f.store()
			if err != nil {
				return err
			}
			made, err := store.Rotate(cmd.Context(), args[0])
			if err != nil {
				return keyError(err)
			}
			return tellMade(s.out, dir, made)
		},
	}
}

func newKeyRevoke(s streams, f *keyFlags) *cobra.Command {
	var reason, at string
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Declare a pair of keys void", Example: "plumbline key revoke 0123456789ab --reason compromised",
		Long: `compromised voids everything that the keys ever signed, because whoever holds them dates what he signs as he likes; superseded,
retired and mistaken void what is dated from --at on. Publish the new keys.dsse.json: verifiers know of it from there only.`,
		Args: oneArg("the beginning of a key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(seal.RevocationReasons(), seal.RevocationReason(reason)) {
				return exit.Usage(fmt.Errorf("--reason %q is none", reason), "it is one of "+joinReasons())
			}
			when := time.Now()
			if at != "" {
				var err error
				if when, err = parseMoment(at); err != nil {
					return exit.Usage(err, "--at takes a day or a time of RFC 3339, for example 2027-01-31 or 2027-01-31T12:00:00Z")
				}
			}
			return revokeKey(cmd.Context(), s, f, args[0], when, seal.RevocationReason(reason))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why: "+joinReasons())
	cmd.Flags().StringVar(&at, "at", "", "since when, for example 2027-01-31; without it now")
	return cmd
}

func revokeKey(ctx context.Context, s streams, f *keyFlags, id string, at time.Time, reason seal.RevocationReason) error {
	store, dir, err := f.store()
	if err != nil {
		return err
	}
	revoked, err := store.Revoke(ctx, id, at, reason)
	if err != nil {
		return keyError(err)
	}
	for _, r := range revoked {
		fmt.Fprintf(s.out, "revoked %s %s since %s (%s)\n", r.ID, r.Algorithm, r.Revoked.At.Format(time.RFC3339), r.Revoked.Reason)
	}
	_, err = fmt.Fprintf(s.out, "list    %s: publish it\n", console.Clean(filepath.Join(dir, seal.KeysFile)))
	return err
}

// state is what a key is good for now, in a few words.
func state(r seal.KeyRecord, now time.Time) string {
	reason, _ := r.Refuse(seal.ForReports, now)
	switch {
	case r.Revoked != nil:
		return fmt.Sprintf("revoked %s (%s)", r.Revoked.At.Format(time.DateOnly), r.Revoked.Reason)
	case r.ReplacedBy != "":
		return "replaced by " + r.ReplacedBy[:min(len(r.ReplacedBy), 16)]
	case reason != "":
		return string(reason)
	default:
		return "good"
	}
}

func joinPurposes(all []seal.Purpose) string {
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}

func joinReasons() string {
	var words []string
	for _, r := range seal.RevocationReasons() {
		words = append(words, string(r))
	}
	return strings.Join(words, ", ")
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
