package journal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	stateName      = "state.json"
	checkpointName = "checkpoint"
	lockName       = "lock"
)

// state says how the last run ended. It is written when a run begins, unclean,
// and when it ends cleanly; what lies between is what recovery has to prove.
type state struct {
	Version int        `json:"version"`
	Epoch   string     `json:"epoch"`
	Clean   bool       `json:"clean"`
	Sync    SyncPolicy `json:"sync"`
	Boot    string     `json:"boot"`
	Head    uint64     `json:"head"`
	Epochs  []begun    `json:"epochs"` // the youngest, oldest first; the last is Epoch
	Mark    string     `json:"mark,omitempty"`
	// Written is the system's clock, whatever Options.Now says, because it is
	// compared with the file system's own time stamp.
	Written time.Time `json:"written"`
}

// begun says where an epoch began: entries after After were appended in it, or in one that began later.
type begun struct {
	Epoch string `json:"epoch"`
	After uint64 `json:"after"`
}

// epochsKept bounds the list of epochs in the state. Who has a cursor of an older one reads somewhat more again.
const epochsKept = 64

// follow adds an epoch to the list.
func follow(epochs []begun, epoch string, after uint64) []begun {
	epochs = append(epochs, begun{epoch, after})
	return epochs[max(0, len(epochs)-epochsKept):]
}

// stateVersion is raised when an older program could misread the directory.
const stateVersion = 1

// restoredAfter is how much later than its content a state file may have been
// put into the directory before it counts as brought back from a copy. Slow
// disks take seconds; a false alarm costs one renewed epoch.
const restoredAfter = 15 * time.Second

func writeState(fs files, dir string, s state) error {
	s.Version, s.Written = stateVersion, time.Now().UTC()
	return replaceFile(fs, filepath.Join(dir, stateName), func(w io.Writer) error {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return writeAll(w, append(text, '\n'))
	})
}

// readState returns the last state and, when it proves nothing, the reason.
func readState(dir string) (s state, doubt string) {
	path := filepath.Join(dir, stateName)
	text, err := os.ReadFile(path)
	if err != nil {
		return state{}, "there is no readable state of an earlier run"
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Version != stateVersion || len(s.Epoch) != epochBytes {
		return state{}, "the state of the earlier run is damaged"
	}
	info, err := os.Stat(path)
	if err != nil {
		return state{}, "there is no readable state of an earlier run"
	}
	if at, ok := changeTime(info); ok && (at.Sub(s.Written) > restoredAfter || s.Written.Sub(at) > restoredAfter) {
		return s, "the directory was copied or restored"
	}
	return s, ""
}

// unproven returns why entries that this state's run acknowledged may be
// missing although the files are whole, or "".
func (s state) unproven(boot string) string {
	switch {
	case s.Clean || s.Sync == SyncDurable:
		return ""
	case s.Sync == SyncOS && boot != "" && boot == s.Boot:
		return "" // the process died, the kernel and its page cache did not
	case s.Sync == SyncOS && boot == "":
		return "unclean stop under sync \"os\", and this system does not tell whether it was restarted since"
	case s.Sync == SyncOS:
		return "unclean stop under sync \"os\" and the machine was restarted since"
	}
	return fmt.Sprintf("unclean stop under sync %q", s.Sync)
}
