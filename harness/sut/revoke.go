package sut

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Revoke cuts off the subject: it adds a line to the revocation file that the
// descriptor names. It returns when the line is on its way to the file, not
// when the system has acted on it.
func (s *SUT) Revoke(subject string) error { return s.revoke("sub:", subject) }

// RevokeID cuts off a single token by its jti.
func (s *SUT) RevokeID(id string) error { return s.revoke("jti:", id) }

func (s *SUT) revoke(kind, name string) error {
	d := s.descriptor()
	if d.Auth == nil || d.Auth.RevocationFile == "" {
		return fmt.Errorf("sut: revoke %q: %w: the descriptor names no auth.revocationFile", name, ErrNoControl)
	}
	if name == "" || strings.ContainsAny(name, "\r\n") {
		return fmt.Errorf("sut: revoke %q: %w: not one non-empty line", name, ErrUsage)
	}
	f, err := os.OpenFile(d.Auth.RevocationFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("sut: revoke %q: %w", name, err)
	}
	_, err = f.WriteString(kind + name + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sut: revoke %q: %w", name, err)
	}
	return nil
}
