package codec

import "plumbline/devices"

// groupField is one number in a parameter group: little-endian, from a byte on,
// of a number of bits that is a multiple of eight. The numbers at the top are no
// readings: in NMEA 2000 the three largest (reserved, out of range, not
// available), in SAE J1939 all whose highest byte is FB or more (J1939-71, table
// 1: specific to the parameter, reserved, error, not available).
type groupField struct {
	name   string
	unit   string
	at     int
	bits   int
	signed bool
	scale  float64
	offset float64
	sae    bool // of SAE J1939
}

// groups are single-frame groups of NMEA 2000 (as its users have published them)
// and of SAE J1939-71, by number.
var groups = map[int64][]groupField{
	61444:  {{name: "engine_speed", unit: "/min", at: 3, bits: 16, scale: 0.125, sae: true}},                    // EEC1, SPN 190
	65262:  {{name: "coolant_temperature", unit: "Cel", bits: 8, scale: 1, offset: -40, sae: true}},             // ET1, SPN 110
	65265:  {{name: "wheel_speed", unit: "km/h", at: 1, bits: 16, scale: 1.0 / 256, sae: true}},                 // CCVS, SPN 84
	127245: {{name: "rudder", unit: "rad", at: 4, bits: 16, signed: true, scale: 1e-4}},                         // Rudder
	127250: {{name: "heading", unit: "rad", at: 1, bits: 16, scale: 1e-4}},                                      // Vessel Heading
	127251: {{name: "rate_of_turn", unit: "rad/s", at: 1, bits: 32, signed: true, scale: 3.125e-8}},             // Rate of Turn
	127257: attitude(),                                                                                          // Attitude
	127488: {{name: "engine_speed", unit: "/min", at: 1, bits: 16, scale: 0.25}},                                // Engine Parameters, Rapid Update
	127508: battery(),                                                                                           // Battery Status
	128259: {{name: "water_speed", unit: "m/s", at: 1, bits: 16, scale: 0.01}},                                  // Speed
	128267: {{name: "depth", unit: "m", at: 1, bits: 32, scale: 0.01}},                                          // Water Depth
	129025: {degrees("lat", 0), degrees("lon", 4)},                                                              // Position, Rapid Update
	129026: {{name: "course", unit: "rad", at: 2, bits: 16, scale: 1e-4}, metresPerSecond("speed", 4)},          // COG & SOG, Rapid Update
	130306: {metresPerSecond("wind_speed", 1), {name: "wind_angle", unit: "rad", at: 3, bits: 16, scale: 1e-4}}, // Wind Data
	130310: {kelvin("water_temperature", 1), kelvin("air_temperature", 3), pressure(5)},                         // Environmental Parameters
	130311: {kelvin("temperature", 2), {name: "humidity", unit: "%", at: 4, bits: 16, signed: true, scale: 0.004}, pressure(6)},
	130312: {kelvin("temperature", 3)}, // Temperature
}

func degrees(name string, at int) groupField {
	return groupField{name: name, unit: "deg", at: at, bits: 32, signed: true, scale: 1e-7}
}

func metresPerSecond(name string, at int) groupField {
	return groupField{name: name, unit: "m/s", at: at, bits: 16, scale: 0.01}
}

func kelvin(name string, at int) groupField {
	return groupField{name: name, unit: "K", at: at, bits: 16, scale: 0.01}
}

func pressure(at int) groupField {
	return groupField{name: "pressure", unit: "Pa", at: at, bits: 16, scale: 100}
}

func attitude() []groupField {
	out := []groupField{{name: "yaw"}, {name: "pitch"}, {name: "roll"}}
	for i := range out {
		out[i] = groupField{name: out[i].name, unit: "rad", at: 1 + 2*i, bits: 16, signed: true, scale: 1e-4}
	}
	return out
}

func battery() []groupField {
	return []groupField{
		{name: "voltage", unit: "V", at: 1, bits: 16, signed: true, scale: 0.01},
		{name: "current", unit: "A", at: 3, bits: 16, signed: true, scale: 0.1},
		kelvin("temperature", 5),
	}
}

// appendGroup appends the named values of a group that is known, as far as its
// data goes.
func appendGroup(values []devices.Value, pgn int64, data []byte) []devices.Value {
	for _, f := range groups[pgn] {
		if n, ok := f.read(data); ok {
			values = append(values, devices.Value{Name: f.name, Unit: f.unit, Number: n})
		}
	}
	return values
}

func (f groupField) read(data []byte) (float64, bool) {
	size := f.bits / 8
	if f.at+size > len(data) {
		return 0, false
	}
	var raw uint64
	for i := range size {
		raw |= uint64(data[f.at+i]) << (8 * i)
	}
	most := uint64(1)<<f.bits - 1
	if f.signed {
		most >>= 1
	}
	least := most - 2 // that is no reading
	if f.sae {
		least = 0xFB << (f.bits - 8)
	}
	if raw >= least && raw <= most {
		return 0, false
	}
	n := float64(raw)
	if f.signed && raw > most {
		n -= float64(uint64(1) << f.bits)
	}
	return n*f.scale + f.offset, true
}
