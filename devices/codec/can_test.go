package codec_test

import (
	"strings"
	"testing"

	"plumbline/devices/codec"
)

// TestCANIndicatorsAreNoReadings: what a group sends in place of a measured value
// (SAE J1939-71, table 1; the last three numbers of a field of NMEA 2000).
func TestCANIndicatorsAreNoReadings(t *testing.T) {
	for line, want := range map[string]string{
		"can0 0CF00400#0000001027FFFFFF": "engine_speed=1250", // EEC1
		"can0 0CF00400#000000FFFAFFFFFF": "engine_speed=8031.875",
		"can0 0CF00400#00000000FBFFFFFF": "", // specific to the parameter
		"can0 0CF00400#000000FFFDFFFFFF": "", // reserved
		"can0 0CF00400#00000012FEFFFFFF": "", // error
		"can0 0CF00400#000000FFFFFFFFFF": "", // not available
		"can0 18FEEE00#FAFFFFFFFFFFFFFF": "coolant_temperature=210",
		"can0 18FEEE00#FEFFFFFFFFFFFFFF": "",
		"can0 09FD0223#FFFCFF0000FAFFFF": "wind_speed=655.32 wind_angle=0",
		"can0 09FD0223#FFFDFFFEFFFAFFFF": "",                 // reserved, out of range
		"can0 09F80123#FDFFFF7F00000080": "lon=-214.7483648", // latitude reserved; the least longitude is a number
		"can0 09F80123#FCFFFF7FFEFFFF7F": "lat=214.74836439999999",
		"can0 09F11323#FFFFFFFFFF000000": "rate_of_turn=-3.125e-08", // minus one is no indicator
	} {
		values, err := codec.CAN{}.Decode([]byte(line))
		_, got, _ := strings.Cut(said(values), `data="`)
		_, got, _ = strings.Cut(got, `"`)
		if got = strings.TrimSpace(got); err != nil || got != want {
			t.Errorf("%s\n is  %s, %v\nwant %s", line, got, err, want)
		}
	}
}

func TestCANLinesThatAreNoFrames(t *testing.T) {
	for line, want := range map[string]string{
		"can0 123 [-1]":      `damaged: length "[-1]"`,
		"<0x123> [-1]":       `damaged: length "[-1]"`,
		"can0 123 [224]":     `damaged: length "[224]"`,
		"can0 123 [2] 01":    "damaged: 1 bytes of data, 2 are said",
		"can0 1234#00":       "damaged: identifier",
		"can0 123#0":         "damaged: data",
		"can0 20000004#00":   "control: an error frame",
		"can0 123#R":         "control: a request without data",
		"can0 123 [1] 1 2 3": "damaged: ",
	} {
		if _, err := (codec.CAN{}).Decode([]byte(line)); err == nil || !strings.HasPrefix(refusal(err), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}
