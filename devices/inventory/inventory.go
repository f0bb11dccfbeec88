package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"plumbline/devices/lock"
)

// Inventory lists the serial ports of a machine. The zero value is this one.
// It holds no state: every call looks afresh.
type Inventory struct {
	// Root is the folder that holds dev, sys and proc; "" is the machine itself.
	Root string
	// Locks is where the devices in use are locked; nil is not looked at.
	Locks *lock.Dir
}

// Port is one serial port. Texts come from the device and are not to be trusted.
type Port struct {
	Path         string `json:"path"`             // for example /dev/ttyUSB0: good until the next replug
	Select       string `json:"select"`           // the selector that finds this port again
	Link         string `json:"link,omitempty"`   // the link udev keeps for it under /dev/serial/by-id
	USB          bool   `json:"usb"`              // false: all down to USBPath are empty
	VID          string `json:"vid,omitempty"`    // four hexadecimal digits
	PID          string `json:"pid,omitempty"`    // four hexadecimal digits
	Serial       string `json:"serial,omitempty"` // cheap adapters have none, or all the same
	Manufacturer string `json:"manufacturer,omitempty"`
	Product      string `json:"product,omitempty"`
	USBPath      string `json:"usbPath,omitempty"` // bus and sockets, for example 1-1.4: the place, not the device
	Unit         string `json:"unit,omitempty"`    // interface of the adapter, with ".n" for port n of one interface
	Driver       string `json:"driver,omitempty"`  // for example ftdi_sio

	Problem string   `json:"problem,omitempty"` // why it cannot be opened, "" when it can
	Mend    string   `json:"mend,omitempty"`    // the command that mends it
	Holders []Holder `json:"holders,omitempty"` // processes that have it open
	Unseen  string   `json:"unseen,omitempty"`  // what could not be looked into for holders
	Guess   *Guess   `json:"guess,omitempty"`   // what it speaks, when it was listened to

	twins bool // another port has the same identity
}

// Holder is a process that has a port open.
type Holder struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

// at returns the path below the root.
func (inv Inventory) at(path string) string {
	if inv.Root == "" {
		return path
	}
	return filepath.Join(inv.Root, path)
}

// Ports lists all ports, sorted by path, with permission and holders. It takes
// a few milliseconds, and reads the open files of every process.
func (inv Inventory) Ports() ([]Port, error) {
	ports, err := inv.Scan()
	if err != nil {
		return nil, err
	}
	links := readLinks(inv.at("/dev/serial/by-id"))
	holders, unseen := inv.holders(ports)
	locks, err := inv.locks()
	if err != nil {
		return nil, err
	}
	for i := range ports {
		p := &ports[i]
		p.Link = links[p.Path]
		if target, err := filepath.EvalSymlinks(p.Path); err == nil && p.Link == "" {
			p.Link = links[target]
		}
		p.Holders, p.Unseen = holders[p.Path], unseen
		if p.Problem == "" && len(p.Holders) > 0 {
			p.Problem, p.Mend = held(p.Holders)
		}
		for _, key := range p.Keys() {
			s, is := locks[key]
			if !is {
				continue
			}
			if p.Problem, p.Mend = "it is locked "+s.Claim.String(), "wait for it, or end it: "+s.End(); s.Status == lock.Foreign {
				p.Problem, p.Mend = "its lock "+s.Path+" is none that this user can read", "sudo rm -r "+s.Path
			}
			break
		}
	}
	return ports, nil
}

// PlaceKey names the port in locks by where it is: its USB socket and the unit of
// the adapter, elsewhere its path. It depends on nothing else that is plugged in.
func (p Port) PlaceKey() string {
	if p.USB && p.USBPath != "" {
		return Selector{USBPath: p.USBPath, Unit: p.Unit}.String()
	}
	if target, err := filepath.EvalSymlinks(p.Path); err == nil {
		return target
	}
	return p.Path
}

// IdentityKey names the port in locks by what it is, wherever it is plugged in;
// "" for one without a serial number, or that was not the only one with it when
// the ports were listed.
func (p Port) IdentityKey() string {
	if !p.USB || p.VID == "" || p.PID == "" || p.Serial == "" || p.twins {
		return ""
	}
	key := Selector{VID: p.VID, PID: p.PID, Serial: p.Serial, Unit: p.Unit}.String()
	if len(key) > lock.MaxName {
		return ""
	}
	return key
}

// Keys returns the names that a program locks to be alone on the port. Any one of
// them tells others that it is in use: the place because two adapters may have
// one serial number, the identity because an adapter may be plugged in elsewhere.
func (p Port) Keys() []string {
	keys := []string{p.PlaceKey()}
	if id := p.IdentityKey(); id != "" {
		keys = append(keys, id)
	}
	return keys
}

// twin reports whether both would have the same identity.
func (p Port) twin(q Port) bool {
	return p.VID == q.VID && p.PID == q.PID && p.Serial == q.Serial && p.Unit == q.Unit
}

// locks returns the locks of devices by their key.
func (inv Inventory) locks() (map[string]lock.State, error) {
	if inv.Locks == nil {
		return nil, nil
	}
	states, err := inv.Locks.List(context.Background())
	if err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	out := map[string]lock.State{}
	for _, s := range states {
		if s.Status != lock.Stale {
			out[s.Claim.Name] = s
		}
	}
	return out, nil
}

// Scan is Ports without links and holders: what is plugged in and may be
// opened. It takes less than a millisecond for a handful of ports.
func (inv Inventory) Scan() ([]Port, error) {
	ports, err := inv.enumerate()
	if err != nil {
		return nil, fmt.Errorf("inventory: list serial ports: %w", err)
	}
	slices.SortFunc(ports, func(a, b Port) int { return cmp.Compare(a.Path, b.Path) })
	for i := range ports {
		p := &ports[i]
		p.Select = selectorOf(*p, ports).String()
		p.twins = slices.ContainsFunc(ports, func(q Port) bool { return q.Path != p.Path && p.twin(q) })
		p.Problem, p.Mend = access(*p)
	}
	return ports, nil
}

// held says who has the port open.
func held(by []Holder) (problem, mend string) {
	names, pids := []string{}, []string{}
	for _, h := range by {
		names = append(names, fmt.Sprintf("%s (process %d)", h.Name, h.PID))
		pids = append(pids, fmt.Sprint(h.PID))
	}
	return "it is held by " + strings.Join(names, ", "), "end it: kill " + strings.Join(pids, " ")
}

// readLinks maps what the links in a folder lead to back to them.
func readLinks(dir string) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out // no udev, or no USB device
	}
	for _, e := range entries {
		link := filepath.Join(dir, e.Name())
		if target, err := filepath.EvalSymlinks(link); err == nil {
			out[target] = link
		}
	}
	return out
}

// access says why a port could not be opened, by its mode alone.
func access(p Port) (problem, mend string) {
	if runtime.GOOS == "windows" {
		return "", ""
	}
	info, err := os.Stat(p.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "it has gone", "plug the device in again"
	case err != nil:
		return err.Error(), ""
	case usable(p.Path):
		return "", ""
	}
	group := ownerGroup(info)
	if group == "" || group == "root" || info.Mode().Perm()&0o060 != 0o060 {
		return "no permission to open it", grant(p)
	}
	return fmt.Sprintf("no permission: it belongs to the group %s", group),
		fmt.Sprintf("sudo usermod -aG %s \"$USER\", then log in again", group)
}

// grant is the command that opens a port which has no group for it: a rule of
// udev that lasts, or for a port udev knows nothing of, its mode until it is
// plugged in again.
func grant(p Port) string {
	if !p.USB || p.VID == "" || p.PID == "" {
		return "sudo chmod a+rw " + p.Path
	}
	return fmt.Sprintf(`echo 'SUBSYSTEM=="tty", ATTRS{idVendor}=="%s", ATTRS{idProduct}=="%s", MODE="0666"' | `+
		"sudo tee /etc/udev/rules.d/70-plumbline.rules && sudo udevadm control --reload && sudo udevadm trigger", p.VID, p.PID)
}
