package virtual

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// GuestAgent is the program of devices/guest/cmd/guestinit that was built beside
// this one.
func GuestAgent() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoGuest, err)
	}
	agent := filepath.Join(filepath.Dir(self), "guestinit")
	if _, err := os.Stat(agent); err != nil {
		return "", fmt.Errorf("%w: its agent is not at %q: build it with: make build", ErrNoGuest, agent)
	}
	return agent, nil
}

// Beginnings of the names of kept states in GuestFolder, and of those being saved.
const (
	statePrefix  = "state-"
	savingPrefix = "saving-"
)

// ResumeGuest is StartGuest from the state that an earlier call left beside the
// kernel: 0.6 s instead of some four. Where none fits this kernel, emulator and agent
// it boots a guest, keeps its state (80 MB, which take the place of older ones) and
// goes on from there. Where no state can be kept it boots each time.
func ResumeGuest(ctx context.Context, opts GuestOptions) (*Guest, error) {
	if err := GuestAvailable(); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	key, err := guestKey(ctx, opts.Agent)
	if err != nil {
		return nil, fmt.Errorf("virtual: start %q: %w", opts.ID, err)
	}
	opts.State = filepath.Join(GuestFolder(), statePrefix+key)
	if _, err := os.Stat(opts.State); err == nil {
		g, err := StartGuest(ctx, opts)
		if err == nil || ctx.Err() != nil {
			return g, err
		}
		_ = os.Remove(opts.State) // it was damaged, or the emulator changed its mind about it
	}
	return keepState(ctx, opts)
}

// keepState boots a guest and goes on from its state, once that is kept.
func keepState(ctx context.Context, opts GuestOptions) (*Guest, error) {
	state := opts.State
	opts.State = ""
	sweepStates()
	temporary, err := os.CreateTemp(GuestFolder(), savingPrefix+"*")
	if err != nil {
		return StartGuest(ctx, opts) // the folder is not ours
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	if err := temporary.Close(); err != nil {
		return nil, fmt.Errorf("virtual: keep the state of a guest: %w", err)
	}
	g, err := StartGuest(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := g.Save(ctx, temporary.Name()); err != nil { // a full disk, say
		opts.Log.Warn("the state of the guest cannot be kept; it boots each time", "folder", GuestFolder(), "error", errors.Join(err, g.Close()))
		return StartGuest(ctx, opts)
	}
	older, err := filepath.Glob(filepath.Join(GuestFolder(), statePrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("virtual: keep the state of a guest: %w", err)
	}
	for _, name := range older {
		if name != state { // another run may have kept the same meanwhile
			_ = os.Remove(name) // who reads it goes on doing so
		}
	}
	if err := os.Rename(temporary.Name(), state); err != nil {
		return nil, fmt.Errorf("virtual: keep the state of a guest: %w", err)
	}
	opts.State = state
	if g, err = StartGuest(ctx, opts); err == nil || ctx.Err() != nil {
		return g, err
	}
	opts.State = "" // a run of another version put its own in place of it
	return StartGuest(ctx, opts)
}

// sweepStates removes what those left who were killed while they saved, which takes
// no second.
func sweepStates() {
	left, _ := filepath.Glob(filepath.Join(GuestFolder(), savingPrefix+"*")) // the pattern is ours
	for _, name := range left {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(name)
		}
	}
}

// guestKey names what a state belongs to: emulator, machine, kernel and agent.
func guestKey(ctx context.Context, agent string) (string, error) {
	version, err := exec.CommandContext(ctx, GuestEmulator, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s --version: %w", ErrNoGuest, GuestEmulator, err)
	}
	args, err := guestArguments("", "", "", "")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s\n%s\n%s\n", version, strings.Join(args, " "), strings.Join(guestModules, " "))
	for _, name := range []string{agent, guestKernel{GuestFolder()}.image()} {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoGuest, err)
		}
		_, err = io.Copy(sum, f)
		_ = f.Close()
		if err != nil {
			return "", fmt.Errorf("read %q: %w", name, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
