package harness_test

import (
	"strings"
	"testing"

	"plumbline/harness"
)

func TestRigRefusesWhatALineCannotCarry(t *testing.T) {
	for device, want := range map[string]string{
		"{id: a, kind: serial, port: /dev/serial/by-id/x, codec: payload}":                                     "choose for example cobs+crc16",
		"{id: a, kind: serial-twin, codec: senml+cbor}":                                                        "on a serial line nothing says",
		"{id: a, kind: recording, path: x.log, codec: codecfile/testdata/supply.yaml}":                         "must be asked",
		"{id: a, kind: serial, port: /dev/serial/by-id/x, codec: absent.yaml}":                                 "absent.yaml",
		"{id: a, kind: serial, port: /dev/serial/by-id/x, codec: codecfile/testdata/../codecfile_test.go.yml}": "no such file",
	} {
		_, err := harness.ParseDevices("rig.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\nname: r\ndevices:\n  - "+device+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "devices[0].codec: ") {
			t.Errorf("%s: %v, want %q", device, err, want)
		}
	}
}
