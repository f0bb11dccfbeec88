package seal

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"plumbline/reports"
	"plumbline/reports/render"
)

// maxSealFile bounds each file of the seal, and the summary: what is rendered and read
// again can be verified, too.
const maxSealFile = render.MaxSummary

// CheckFiles compares a run directory with its manifest, without looking at the
// signature: every file has the digest it had, none is missing, none was added.
// It is for whoever judges a run again; that somebody vouches for it is what
// Verify establishes. Every difference is an *Error; several are joined. It
// reads every file and writes nothing.
func CheckFiles(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("seal: check files: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read
	content, err := readSmall(root, ManifestFile)
	if err != nil {
		return err
	}
	manifest, err := decodeManifest(content)
	if typed := new(Error); err != nil && !errors.As(err, &typed) {
		return &Error{File: ManifestFile, Reason: ReasonMalformed, Detail: err.Error()}
	} else if err != nil {
		return err
	}
	_, err = checkFiles(ctx, root, manifest, besideFiles())
	return err
}

// checkFiles compares the directory with the manifest and returns the bytes
// covered; beside are files that may be there and are not listed. It reports
// every difference, not only the first.
func checkFiles(ctx context.Context, root *os.Root, m Manifest, beside []string) (int64, error) {
	found, err := listFiles(root)
	if err != nil {
		return 0, err
	}
	var problems []error
	want := make(map[string]reports.Evidence, len(m.Files))
	for _, f := range m.Files {
		want[f.Path] = f
	}
	var size int64
	for _, f := range found {
		entry, listed := want[f.path]
		delete(want, f.path)
		switch {
		case f.special != "":
			problems = append(problems, &Error{File: f.path, Reason: ReasonSpecial, Detail: "it is a " + f.special})
		case f.path == ManifestFile || f.path == EnvelopeFile || slices.Contains(beside, f.path):
		case !listed:
			problems = append(problems, &Error{File: f.path, Reason: ReasonAdditional, Detail: "it was not there when the run was sealed"})
		default:
			if err := checkFile(ctx, root, entry); err != nil {
				problems = append(problems, err)
			}
			size += entry.Size
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	for _, f := range m.Files {
		if _, missing := want[f.Path]; missing {
			problems = append(problems, &Error{File: f.Path, Reason: ReasonMissing, Detail: "the manifest lists it"})
		}
	}
	return size, errors.Join(problems...)
}

func checkFile(ctx context.Context, root *os.Root, want reports.Evidence) error {
	have, err := digestFile(ctx, root, want.Path)
	switch {
	case err != nil:
		return &Error{File: want.Path, Reason: ReasonUnreadable, Detail: err.Error()}
	case have.Size < want.Size:
		return &Error{File: want.Path, Reason: ReasonDigest, Detail: fmt.Sprintf("truncated: %d bytes are left of %d", have.Size, want.Size)}
	case have.Size != want.Size:
		return &Error{File: want.Path, Reason: ReasonDigest, Detail: fmt.Sprintf("size is %d bytes, sealed were %d", have.Size, want.Size)}
	case have.SHA256 != want.SHA256:
		return &Error{File: want.Path, Reason: ReasonDigest, Detail: fmt.Sprintf("SHA-256 is %s, sealed was %s", have.SHA256, want.SHA256)}
	}
	return nil
}

// storedKey reads the key that lies in the directory.
func storedKey(root *os.Root) (ed25519.PublicKey, error) {
	content, err := readSmall(root, PublicKeyFile)
	if err != nil {
		return nil, err
	}
	public, err := parsePublicKey(content)
	if err != nil {
		return nil, &Error{File: PublicKeyFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return public, nil
}

// checkStoredKey makes sure that the key in the directory is the one that
// signed, so that nobody pins a wrong one from there.
func checkStoredKey(root *os.Root, public ed25519.PublicKey) error {
	stored, err := storedKey(root)
	if err != nil {
		return err
	}
	if !stored.Equal(public) {
		return &Error{File: PublicKeyFile, Reason: ReasonKey, Detail: "it is not the key that signed"}
	}
	return nil
}

// readSmall reads one file of the seal; a link or an oversized file is refused.
func readSmall(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{File: name, Reason: ReasonMissing, Detail: "the directory is not sealed, or the file was removed"}
	case err != nil:
		return nil, &Error{File: name, Reason: ReasonUnreadable, Detail: err.Error()}
	case !info.Mode().IsRegular():
		return nil, &Error{File: name, Reason: ReasonSpecial, Detail: "it is a " + specialKind(info.Mode().Type())}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, &Error{File: name, Reason: ReasonUnreadable, Detail: err.Error()}
	}
	defer f.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(f, maxSealFile+1))
	if err != nil {
		return nil, &Error{File: name, Reason: ReasonUnreadable, Detail: err.Error()}
	}
	if len(content) > maxSealFile {
		return nil, &Error{File: name, Reason: ReasonMalformed, Detail: fmt.Sprintf("larger than %d bytes", maxSealFile)}
	}
	return content, nil
}
