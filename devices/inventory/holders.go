package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxNames is how many names of processes are told of those that could not be
// looked into.
const maxNames = 5

// holders finds the processes that have ports open, by path of the port, and
// says which processes it may not look into. This process does not count.
func (inv Inventory) holders(ports []Port) (by map[string][]Holder, unseen string) {
	wanted := map[string]string{} // what a descriptor leads to → path of the port
	for _, p := range ports {
		wanted[p.Path] = p.Path
		if target, err := filepath.EvalSymlinks(p.Path); err == nil {
			wanted[target] = p.Path
		}
	}
	by = map[string][]Holder{}
	if len(wanted) == 0 {
		return by, ""
	}
	entries, err := os.ReadDir(inv.at("/proc"))
	if err != nil {
		return by, "" // no procfs: a system where this cannot be told
	}
	var closed []string
	hidden := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join(inv.at("/proc"), e.Name())
		held, err := openPorts(filepath.Join(dir, "fd"), wanted)
		name := attribute(dir, "comm")
		if errors.Is(err, fs.ErrPermission) {
			hidden++
			if !slices.Contains(closed, name) {
				closed = append(closed, name)
			}
		}
		for _, path := range held {
			by[path] = append(by[path], Holder{PID: pid, Name: name})
		}
	}
	return by, notSeen(hidden, closed)
}

// openPorts returns the ports that the descriptors in a folder lead to. A
// process that ends meanwhile has none.
func openPorts(dir string, wanted map[string]string) ([]string, error) {
	fds, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var held []string
	for _, fd := range fds {
		link := filepath.Join(dir, fd.Name())
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		// The name is that of the process's own mount namespace: the device decides.
		if path, is := wanted[target]; is && !slices.Contains(held, path) && sameDevice(link, path) {
			held = append(held, path)
		}
	}
	return held, nil
}

// notSeen says whose descriptors could not be read.
func notSeen(hidden int, names []string) string {
	if hidden == 0 {
		return ""
	}
	slices.Sort(names)
	list := strings.Join(names[:min(len(names), maxNames)], ", ")
	if len(names) > maxNames {
		list += ", …"
	}
	return fmt.Sprintf("%d processes of other users could not be looked into (%s); with sudo they can", hidden, list)
}
