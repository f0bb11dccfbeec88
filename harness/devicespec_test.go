package harness_test

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness"
)

const rigText = `apiVersion: plumbline/v1
kind: Rig
name: lab
devices:
  - {id: host, kind: host, period: 200ms}
  - id: gps
    kind: serial
    port: "usb:1546:01a8:SN-A"
    baud: 4800
    codec: nmea0183
    parity: even
    stopBits: 2
    rts: false
    break: 250ms
    rs485: {beforeSend: 2ms}
  - {id: old, kind: recording, path: gps.log, speed: 4}
  - {id: plug, kind: mqtt, topic: tele/plug/SENSOR, rule: tasmota}
  - {id: twin, kind: mqtt-twin, period: 1s}
  - {id: room, kind: twin, model: door}
  - {id: node, kind: firmware, period: 50ms}
`

func TestParseDevices(t *testing.T) {
	specs, err := harness.ParseDevices("lab.yaml", []byte(rigText))
	if err != nil {
		t.Fatal(err)
	}
	if len(specs) != 7 || specs[1].Baud != 4800 || specs[2].Speed != 4 || specs[3].Topic != "tele/plug/SENSOR" ||
		specs[1].Parity != "even" || specs[1].StopBits != 2 || *specs[1].RTS || specs[1].Break != 250*time.Millisecond || specs[1].RS485.BeforeSend != 2*time.Millisecond {
		t.Fatalf("parsed %+v", specs)
	}
}

func TestParseDevicesRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "baud: 4800", "bauds: 4800", `lab.yaml:9: unknown key "bauds"; did you mean "baud"?`},
		{"unknown kind", "kind: serial", "kind: seriall", "lab.yaml:7: devices[1].kind: "},
		{"double id", "id: gps", "id: host", `lab.yaml:6: devices[1].id: "host" is the id of device 1 already`},
		{"id with slash", "id: gps", "id: a/b", "lab.yaml:6: devices[1].id: "},
		{"an id that no screen holds", "id: gps", "id: " + strings.Repeat("g", 129), "lab.yaml:6: devices[1].id: \"" + strings.Repeat("g", 32) + "\"… has 129 bytes; screens know a device by 128"},
		{"optional where nothing can be tried", "rule: tasmota", "optional: true", `lab.yaml:17: devices[3].optional: says nothing of a device of kind "mqtt"`},
		{"no port", "    port: \"usb:1546:01a8:SN-A\"\n", "", "devices[1].port: must be given"},
		{"number of plugging", "\"usb:1546:01a8:SN-A\"", "/dev/ttyUSB0", `lab.yaml:8: devices[1].port: "/dev/ttyUSB0" means another device after the next replug`},
		{"no remote port", "usb:1546:01a8:SN-A", "rfc2217://nobody", "lab.yaml:8: devices[1].port: remoteport: wrong address"},
		{"no selector", "usb:1546:01a8:SN-A", "usb:1546", "lab.yaml:8: devices[1].port: inventory: wrong selector"},
		{"key of another kind", "speed: 4", "period: 4s", "lab.yaml:16: devices[2].period: "},
		{"no baud rate", "baud: 4800", "baud: -1", "lab.yaml:9: devices[1].baud: "},
		{"a baud rate that no port has", "baud: 4800", "baud: 10", "must be 50 to 4000000"},
		{"unknown codec", "codec: nmea0183", "codec: morse", `codec: no codec is called "morse"; known are nmea0183`},
		{"bad period", "period: 200ms", "period: soon", "lab.yaml:5: devices[0].period: "},
		{"wildcard", "tele/plug/SENSOR", "tele/#", "lab.yaml:17: devices[3].topic: "},
		{"control character in an id", "id: gps", `id: "a\x07b"`, "lab.yaml:6: devices[1].id: "},
		{"control character in a topic", "topic: tele/plug/SENSOR", `topic: "tele/\0"`, "lab.yaml:17: devices[3].topic: "},
		{"topic of the harness", "tele/plug/SENSOR", "bench/host", `lab.yaml:17: devices[3].topic: "bench/host" lies under "bench"`},
		{"topic of another", "tele/plug/SENSOR", "tele/twin/SENSOR", `lab.yaml:18: devices[4]: publishes under "tele/twin/SENSOR", as device 4 does already`},
		{"no codec", "codec: nmea0183", "codec: morse", "lab.yaml:10: devices[1].codec: "},
		{"no twin", "model: door", "model: rain", `lab.yaml:19: devices[5].model: "rain" is no twin`},
		{"speed without end", "speed: 4", "speed: .inf", "lab.yaml:16: devices[2].speed: "},
		{"speed of nothing", "speed: 4", "speed: .nan", "lab.yaml:16: devices[2].speed: "},
		{"firmware that is too fast", "period: 50ms", "period: 5ms", `lab.yaml:20: devices[6].period: "5ms" is not between 10ms and 1m`},
		{"no parity", "parity: even", "parity: evn", `lab.yaml:11: devices[1].parity: serialline: parity "evn" of "usb:1546:01a8:SN-A": must be none, even, odd, mark or space`},
		{"no stop bits", "stopBits: 2", "stopBits: 3", "lab.yaml:12: devices[1].stopBits: serialline: stop bits 3"},
		{"no switch", "rts: false", "rts: low", `lab.yaml:13: rts: must be true or false, is "low"`},
		{"an endless break", "break: 250ms", "break: 1m", "lab.yaml:14: devices[1].break: serialline: break of 1m0s"},
		{"a break without a unit", "break: 250ms", "break: 250", `lab.yaml:14: devices[1].break: "250" is not a time`},
		{"half a millisecond", "beforeSend: 2ms", "beforeSend: 500us", "lab.yaml:15: devices[1].rs485: serialline: RS-485 delay 500µs"},
		{"parity of a recording", "speed: 4", "parity: odd", "lab.yaml:16: devices[2].parity: a device of kind \"recording\" has no such setting"},
		{"no rule", "rule: tasmota", "rule: tasmotta", `devices[3].rule: mqttrule: no rule is called "tasmotta"; known are plain, tasmota`},
		{"a rule that does not tell", "rule: tasmota", "rule: homeassistant", "devices[3].rule: homeassistant does not tell where"},
		{"no voice", "period: 1s}", "period: 1s, rule: morse}", `lab.yaml:18: devices[4].rule: mqttrule: no family is called "morse"; known are json, plain, tasmota`},
		{"a twin in the harness's topics", "id: twin, kind: mqtt-twin", "id: bench, kind: mqtt-twin, rule: shelly", `lab.yaml:18: devices[4].id: makes the twin publish under "bench/status/sensor:0"`},
		{"a twin with another's topics", "rule: tasmota}\n", "rule: tasmota}\n  - {id: x, kind: mqtt, topic: twin/power}\n  - {id: twin, kind: mqtt-twin, rule: plain}\n", `publishes under "twin/power", as device 5 does already`},
		{"availability of the harness", "rule: tasmota", "availability: bench/plug", "devices[3].availability: "},
		{"availability with wildcards", "rule: tasmota", "availability: tele/+/LWT", "devices[3].availability: "},
		{"other file", "kind: Rig", "kind: SUT", "lab.yaml:2: kind: "},
		{"other version", "plumbline/v1", "plumbline/v0", "lab.yaml:1: apiVersion: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(rigText, c.old, c.new, 1)
			if text == rigText {
				t.Fatalf("%q does not stand in the file", c.old)
			}
			if _, err := harness.ParseDevices("lab.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want %q", err, c.want)
			}
		})
	}
	if _, err := harness.ParseDevices("lab.yaml", []byte("apiVersion: plumbline/v1\nkind: Rig\n")); err == nil || !strings.Contains(err.Error(), "declares no device") {
		t.Errorf("a rig without devices gave %v", err)
	}
	if _, err := harness.LoadDevices("absent.yaml"); err == nil {
		t.Error("an absent file was read")
	}
}
