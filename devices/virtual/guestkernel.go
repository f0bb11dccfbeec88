package virtual

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GuestEmulator is the program that a guest runs in.
const GuestEmulator = "qemu-system-x86_64"

// ErrNoGuest says that something of the third tier of the virtual bench is not
// there. It is not judged then, and says so.
var ErrNoGuest = errors.New("virtual: the Linux guest is not available")

// guestModules are what a guest needs of its kernel beside what is built in.
var guestModules = []string{"virtio_pci", "virtio_net", "vhci_hcd", "ftdi_sio", "cdc_acm"}

// guestKernel is where a kernel lies: vmlinux, and modules below the folder.
type guestKernel struct{ dir string }

// GuestFolder returns where the guest's kernel is looked for: $PLUMBLINE_GUEST, or
// plumbline/guest in the user's cache folder.
func GuestFolder() string {
	if dir := os.Getenv("PLUMBLINE_GUEST"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "plumbline", "guest")
}

// GuestAvailable returns nil where a guest can be started, else an error that wraps
// ErrNoGuest and says what is missing and how to get it.
func GuestAvailable() error {
	if _, err := exec.LookPath(GuestEmulator); err != nil {
		return fmt.Errorf("%w: %s is not installed; get it with: make deps-guest (Debian, Ubuntu: apt-get install --no-install-recommends qemu-system-x86)", ErrNoGuest, GuestEmulator)
	}
	if _, err := os.Stat(guestKernel{GuestFolder()}.image()); err != nil {
		return fmt.Errorf("%w: no kernel in %q; get Debian's with: make deps-guest (it is unpacked there, not installed)", ErrNoGuest, GuestFolder())
	}
	return nil
}

func (k guestKernel) image() string { return filepath.Join(k.dir, "vmlinux") }

// modules returns the files of the modules that are wanted and of those that they
// need, in the order in which they can be loaded.
func (k guestKernel) modules(wanted []string) ([]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".ko") {
			files[moduleName(strings.TrimSuffix(d.Name(), ".ko"))] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("modules of the guest: %w", err)
	}
	var order []string
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		path := files[name]
		if path == "" {
			return fmt.Errorf("module %q of the guest's kernel is not in %q: remove the folder and call make deps-guest", name, k.dir)
		}
		needs, err := moduleNeeds(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, path)
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName is a module's name however its file is spelled.
func moduleName(text string) string { return strings.ReplaceAll(text, "-", "_") }

// moduleNeeds reads what a module says of itself (section .modinfo): the modules
// that must be there before it.
func moduleNeeds(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("module %q: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %q: it has no .modinfo", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("module %q: %w", path, err)
	}
	var needs []string
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, is := bytes.CutPrefix(entry, []byte("depends=")); is && len(list) > 0 {
			for _, n := range strings.Split(string(list), ",") {
				needs = append(needs, moduleName(n))
			}
		}
	}
	return needs, nil
}
