// Package pdf prints the page of a report with a Chromium that is on this machine.
//
// Nothing is fetched and the browser keeps nothing. It knows nothing of runs and
// verdicts.
package pdf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoBrowser says that no Chromium was found.
var ErrNoBrowser = errors.New("no Chromium was found")

// ErrNoSandbox says that Chromium refused to run because this machine gives it no
// sandbox.
var ErrNoSandbox = errors.New("no usable sandbox for Chromium")

// Limit bounds one printing.
const Limit = 3 * time.Minute

// Names are the programs that Find looks for, the first one first.
func Names() []string {
	return []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge-stable", "microsoft-edge", "msedge"}
}

// elsewhere is where browsers lie that are not on the PATH.
var elsewhere = []string{
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	`C:\Program Files\Google\Chrome\Application\chrome.exe`, `C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`,
}

// Find returns the path of a Chromium or of a browser made from it: that of the
// given name, or with "" the first of Names on the PATH. The error wraps ErrNoBrowser.
func Find(name string) (string, error) {
	if name != "" {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("pdf: %w: %w", ErrNoBrowser, err)
		}
		return filepath.Abs(path)
	}
	for _, name := range append(Names(), elsewhere...) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("pdf: %w: none of %s is on the PATH", ErrNoBrowser, strings.Join(Names(), ", "))
}

// Print returns the page, which is HTML, as PDF. It starts browser, which Find gave,
// waits for it and leaves nothing behind; it takes as long as Limit at most. Two
// printings of one page differ: a browser writes the time into the file.
func Print(ctx context.Context, browser string, page []byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "plumbline-pdf-")
	if err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder; what stays is the system's to clear
	source, target := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.pdf")
	if err := os.WriteFile(source, page, 0o600); err != nil {
		return nil, fmt.Errorf("pdf: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, browser, arguments(dir, source, target)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd.WaitDelay = 5 * time.Second // for what it started and left behind
	runErr := cmd.Run()
	text, readErr := os.ReadFile(target)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("pdf: %s did not print the page in time: %w", browser, context.Cause(ctx))
	case runErr == nil && readErr == nil && whole(text):
		return text, nil
	case sandboxless(said.String()):
		return nil, fmt.Errorf("pdf: %w", ErrNoSandbox)
	default:
		return nil, fmt.Errorf("pdf: %s printed nothing: %w; it said: %s", browser, errors.Join(runErr, readErr, errNoPDF), lastLines(said.String()))
	}
}

// sandboxless reports whether Chromium said that it has no sandbox: there is none,
// or the one that there seemed to be broke (a container without user namespaces).
func sandboxless(said string) bool {
	return strings.Contains(said, "No usable sandbox") || strings.Contains(said, "Failed to move to new namespace")
}

var errNoPDF = errors.New("there is no whole PDF")

// whole reports whether text begins and ends as a PDF (ISO 32000-1, 7.5.2 and 7.5.5).
func whole(text []byte) bool {
	return bytes.HasPrefix(text, []byte("%PDF-")) && bytes.HasSuffix(bytes.TrimSpace(text), []byte("%%EOF"))
}

// arguments let Chromium print one local file, without a network and with a profile
// that is thrown away. Its sandbox stays on; only root cannot have one.
func arguments(dir, source, target string) []string {
	args := []string{
		"--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check",
		"--user-data-dir=" + filepath.Join(dir, "profile"), "--disable-extensions", "--disable-sync", "--disable-breakpad",
		"--disable-background-networking", "--disable-component-update", "--no-pings", "--metrics-recording-only",
		"--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>", "--host-resolver-rules=MAP * ~NOTFOUND",
		"--no-pdf-header-footer", "--generate-pdf-document-outline", "--print-to-pdf=" + target,
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	return append(args, "file://"+filepath.ToSlash(source))
}

// lastLines is the end of what a browser said, for an error.
func lastLines(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	text := strings.Join(lines[max(len(lines)-3, 0):], " | ")
	if text == "" {
		return "nothing"
	}
	return text[max(len(text)-500, 0):]
}
