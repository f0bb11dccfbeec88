package simulated

import (
	"encoding/binary"
	"fmt"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// speaks returns the kind of twin that has something to say in a protocol; false
// when none has: whole messages are for MQTT. What the fields of a protocol of
// somebody's own mean is unknown here: their numbers count upwards.
func speaks(c codec.Codec) (Kind, bool) {
	switch c := c.(type) {
	case codec.NMEA0183, codec.CAN:
		return GPS, true
	case codec.P1:
		return Power, true
	case codec.SDS011, codec.Plantower:
		return Dust, true
	case codec.LineJSON, codec.Pairs, codec.Stuffed, codec.Table, codec.Fixed:
		return Temperature, true
	case codec.SenML:
		return Temperature, !c.CBOR
	}
	return "", false
}

// Voice makes the bytes of a sample, as a device of some protocol sends them.
type Voice func(devices.Sample) []byte

// Speak returns a twin of the kind that a protocol is for, and its voice: what
// the voice says, the codec reads. It errs when no twin speaks the protocol. Now
// gives the wall-clock time that some protocols carry; nil = time.Now.
func Speak(c codec.Codec, id string, seed uint64, opts Options, now func() time.Time) (*Twin, Voice, error) {
	kind, ok := speaks(c)
	if !ok {
		return nil, nil, fmt.Errorf("simulated: twin %q: no twin speaks %s; give it a recording to play", id, c.Name())
	}
	twin, err := New(kind, id, seed, opts)
	if err != nil {
		return nil, nil, err
	}
	if now == nil {
		now = time.Now
	}
	return twin, voice(c, id, seed, now), nil
}

// headerEvery is after how many rows a table repeats its header, so that a
// reader who comes later learns the columns, too.
const headerEvery = 20

func voice(c codec.Codec, id string, seed uint64, now func() time.Time) Voice {
	switch c := c.(type) {
	case codec.NMEA0183:
		return func(s devices.Sample) []byte { return AppendNMEA(nil, s, now()) }
	case codec.CAN:
		return func(s devices.Sample) []byte { return appendPosition(nil, s, now()) }
	case codec.P1:
		return func(s devices.Sample) []byte { return AppendP1(nil, s, now()) }
	case codec.SDS011:
		return func(s devices.Sample) []byte {
			return codec.AppendSDS011(nil, number(s, "pm25"), number(s, "pm10"), uint16(seed))
		}
	case codec.Plantower:
		return func(s devices.Sample) []byte { return c.Append(nil, s.Values) }
	case codec.LineJSON:
		return func(s devices.Sample) []byte { return codec.AppendLineJSON(nil, id, s.Seq, s.Values) }
	case codec.Pairs:
		return func(s devices.Sample) []byte { return c.Append(nil, s.Values) }
	case codec.SenML:
		return func(s devices.Sample) []byte { return codec.AppendSenML(nil, false, id, s.Values) }
	case codec.Stuffed:
		return func(s devices.Sample) []byte { return c.Append(nil, codec.AppendSenML(nil, true, id, s.Values)) }
	case codec.Fixed:
		return func(s devices.Sample) []byte { return c.Append(nil, counting(c, seed+s.Seq)) }
	case codec.Table:
		return func(s devices.Sample) []byte {
			var out []byte
			if len(c.Columns) > 0 {
				s.Values = columns(c, s)
			}
			if s.Seq%headerEvery == 1 && c.HasHeader() {
				out = c.AppendHeader(out, s.Values)
			}
			return c.AppendRow(out, s.Values)
		}
	}
	return nil // speaks knows no other
}

// counting gives each field a number that counts upwards within 7 bits, which all
// types hold.
func counting(c codec.Fixed, n uint64) map[string]uint32 {
	raw := map[string]uint32{}
	for i, f := range c.Fields {
		raw[f.Name] = uint32((n + 10*uint64(i)) % 128)
	}
	return raw
}

// columns gives each column one of the sample's numbers.
func columns(c codec.Table, s devices.Sample) []devices.Value {
	out := make([]devices.Value, len(c.Columns))
	for i, name := range c.Columns {
		out[i] = s.Values[i%len(s.Values)]
		out[i].Name = name
	}
	return out
}

func number(s devices.Sample, name string) float64 {
	for _, v := range s.Values {
		if v.Name == name {
			return v.Number
		}
	}
	return 0
}

// AppendP1 appends the telegram of a one-phase meter for a sample of the Power
// kind at the wall-clock instant, in winter time as meters stamp it (DSMR 5.0.2
// P1 Companion Standard, 6.12).
func AppendP1(dst []byte, s devices.Sample, at time.Time) []byte {
	winter := time.FixedZone("CET", 3600)
	return codec.AppendP1(dst, `PLB5\TWIN-1`, []codec.Object{
		{ID: "1-3:0.2.8", Text: "50"},
		{ID: "0-0:1.0.0", Text: at.In(winter).Format("060102150405") + "W"},
		{ID: "1-0:1.8.1", Text: fmt.Sprintf("%010.3f*kWh", number(s, "energy"))},
		{ID: "1-0:1.7.0", Text: fmt.Sprintf("%06.3f*kW", number(s, "power")/1000)},
		{ID: "1-0:32.7.0", Text: fmt.Sprintf("%05.1f*V", number(s, "voltage"))},
		{ID: "1-0:31.7.0", Text: fmt.Sprintf("%03.0f*A", number(s, "current"))},
	})
}

// appendPosition appends a sample of the GPS kind as NMEA 2000 sends it, Position
// and COG & SOG of device 35 with priority 2, in the form of candump -l.
func appendPosition(dst []byte, s devices.Sample, at time.Time) []byte {
	seconds := float64(at.UnixMicro()) / 1e6
	degrees := binary.LittleEndian.AppendUint32(nil, uint32(int32(number(s, "lat")*1e7)))
	degrees = binary.LittleEndian.AppendUint32(degrees, uint32(int32(number(s, "lon")*1e7)))
	dst = codec.AppendCAN(dst, seconds, "can0", 2<<26|129025<<8|35, degrees)
	const radian = 57.29577951308232
	moving := []byte{byte(s.Seq % 250), 0xfc}
	moving = binary.LittleEndian.AppendUint16(moving, uint16(number(s, "course")/radian*1e4))
	moving = binary.LittleEndian.AppendUint16(moving, uint16(number(s, "speed")*100))
	return codec.AppendCAN(dst, seconds, "can0", 2<<26|129026<<8|35, append(moving, 0xff, 0xff))
}
