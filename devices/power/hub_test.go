package power

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestWithoutUhubctl(t *testing.T) {
	var tried []string
	_, err := openHub(Hub{Location: "1-1", Port: 2}, func(name string) (string, error) {
		tried = append(tried, name)
		return "", exec.ErrNotFound
	})
	if !errors.Is(err, ErrNoProgram) || !strings.Contains(err.Error(), "apt install uhubctl") || !strings.Contains(err.Error(), "port 2 of hub 1-1") {
		t.Errorf("error is %v", err)
	}
	if want := []string{"uhubctl", "/usr/sbin/uhubctl"}; !slices.Equal(tried, want) {
		t.Errorf("looked for %v, want %v", tried, want)
	}
	if _, err := openHub(Hub{Location: "1-1"}, nil); !errors.Is(err, ErrSettings) {
		t.Errorf("wrong settings: %v", err)
	}
}

func TestWhatUhubctlIsTold(t *testing.T) {
	h := Hub{Location: "1-1.4", Port: 3}
	for on, want := range map[bool]string{true: "-l 1-1.4 -p 3 -a on", false: "-l 1-1.4 -p 3 -a off"} {
		if got := strings.Join(h.arguments(on), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if m := mend("There were Permission problems"); !strings.Contains(m, "run as root") {
		t.Error(m)
	}
}
