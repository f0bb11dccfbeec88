package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"plumbline/reports"
	"plumbline/reports/render"
)

const summaryFile = render.SummaryFile

// besideFiles are the files that a seal may consist of beside manifest and
// report statement: the manifest cannot list them, because they are made from it.
func besideFiles() []string {
	return []string{CertificateFile, CertificateBundle, DetailFile, ReportBundle}
}

// unlisted are all files that no manifest lists.
func unlisted() []string { return append(besideFiles(), ManifestFile, EnvelopeFile) }

// Seal writes signer.pub.pem, manifest.json and report.dsse.json into dir. It
// comes last: whatever is written into dir afterwards breaks the seal. run must
// be valid and be the one that render.All wrote to summary.json. Sealing again
// replaces the earlier seal. Issue writes a certificate as well.
func Seal(ctx context.Context, dir string, key ed25519.PrivateKey, run *reports.Run) error {
	if err := fit(dir, run); err != nil {
		return err
	}
	if err := writePublic(dir, PublicKeyFile, key); err != nil {
		return err
	}
	s, err := newSealing(ctx, dir, run)
	if err != nil {
		return err
	}
	return s.finish(ctx, key, nil)
}

// fit refuses to sign an invalid run, and a statement about another run than the
// one that lies in the directory.
func fit(dir string, run *reports.Run) error {
	if err := run.Validate(); err != nil {
		return fmt.Errorf("seal: the run is not fit to be sealed: %w", err)
	}
	have, err := os.ReadFile(filepath.Join(dir, summaryFile))
	if err != nil {
		return fmt.Errorf("seal: %w (render the run first)", err)
	}
	if len(have) > maxSealFile {
		return fmt.Errorf("seal: %s in %q has %d bytes, and nobody reads more than %d of it", summaryFile, dir, len(have), maxSealFile)
	}
	var want bytes.Buffer
	if err := render.JSON(&want, run); err != nil {
		return err
	}
	if !bytes.Equal(have, want.Bytes()) {
		return fmt.Errorf("seal: %s in %q is not the run to be sealed (render the run again)", summaryFile, dir)
	}
	return nil
}

// writePublic writes the public half of a signing key.
func writePublic(dir, name string, key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return errors.New("seal: sign: not an Ed25519 key")
	}
	content, err := MarshalPublicKey(key.Public())
	if err != nil {
		return err
	}
	return write(dir, name, content)
}

// sealing is a directory whose files are all written and listed.
type sealing struct {
	dir      string
	run      *reports.Run
	files    []reports.Evidence
	content  []byte           // of manifest.json
	manifest reports.Evidence // its digest
}

// newSealing lists every file of dir.
func newSealing(ctx context.Context, dir string, run *reports.Run) (*sealing, error) {
	files, err := Digest(ctx, dir, unlisted()...)
	if err != nil {
		return nil, err
	}
	content, err := Manifest{Schema: ManifestSchema, Run: run.ID, Files: files}.encode()
	if err != nil {
		return nil, err
	}
	return &sealing{dir: dir, run: run, files: files, content: content,
		manifest: reports.Evidence{Path: ManifestFile, SHA256: sha(content), Size: int64(len(content))}}, nil
}

// report returns the signed report statement, which names the files beside.
func (s *sealing) report(ctx context.Context, key ed25519.PrivateKey, beside []string) ([]byte, error) {
	slices.Sort(beside)
	body, err := encodeStatement(s.run, s.manifest, s.files, beside)
	if err != nil {
		return nil, err
	}
	return sign(ctx, key, PayloadType, body)
}

// finish writes the seal; beside are its further files by name. What an earlier
// seal left and this one lacks is removed. The report statement comes last:
// without it nothing is sealed.
func (s *sealing) finish(ctx context.Context, key ed25519.PrivateKey, beside map[string][]byte) error {
	var names []string
	for _, name := range besideFiles() {
		content, made := beside[name]
		if !made {
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("seal: %w", err)
			}
			continue
		}
		names = append(names, name)
		if err := write(s.dir, name, content); err != nil {
			return err
		}
	}
	envelope, err := s.report(ctx, key, names)
	if err != nil {
		return err
	}
	if err := write(s.dir, ManifestFile, s.content); err != nil {
		return err
	}
	return write(s.dir, EnvelopeFile, envelope)
}

func sha(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func write(dir, name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // made to be shown
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}
