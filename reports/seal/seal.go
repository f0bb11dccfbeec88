package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"plumbline/reports"
	"plumbline/reports/render"
)

const summaryFile = render.SummaryFile

// Seal writes signer.pub.pem, manifest.json and report.dsse.json into dir. It
// comes last: whatever is written into dir afterwards breaks the seal. run must
// be valid and be the one that render.All wrote to summary.json. Sealing again
// replaces the earlier seal.
func Seal(ctx context.Context, dir string, key ed25519.PrivateKey, run *reports.Run) error {
	if err := run.Validate(); err != nil {
		return fmt.Errorf("seal: the run is not fit to be sealed: %w", err)
	}
	if err := sameSummary(dir, run); err != nil {
		return err
	}
	if len(key) != ed25519.PrivateKeySize {
		return errors.New("seal: sign: not an Ed25519 key")
	}
	pub, err := MarshalPublicKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	if err := write(dir, PublicKeyFile, pub); err != nil {
		return err
	}
	files, err := Digest(ctx, dir, ManifestFile, EnvelopeFile)
	if err != nil {
		return err
	}
	content, err := Manifest{Schema: ManifestSchema, Run: run.ID, Files: files}.encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	manifest := reports.Evidence{Path: ManifestFile, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
	body, err := encodeStatement(run, manifest, files)
	if err != nil {
		return err
	}
	envelope, err := sign(ctx, key, body)
	if err != nil {
		return err
	}
	if err := write(dir, ManifestFile, content); err != nil {
		return err
	}
	return write(dir, EnvelopeFile, envelope)
}

// sameSummary refuses to sign a statement about another run than the one that
// lies in the directory.
func sameSummary(dir string, run *reports.Run) error {
	have, err := os.ReadFile(filepath.Join(dir, summaryFile))
	if err != nil {
		return fmt.Errorf("seal: %w (render the run first)", err)
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

func write(dir, name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // made to be shown
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}
