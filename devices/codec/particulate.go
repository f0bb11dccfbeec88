package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"plumbline/devices"
)

// SDS011 is the dust sensor of Nova Fitness, also sold as SDS018 and SDS021:
// frames of ten bytes, 9600 baud 8N1, a sum over the six bytes of data (Laser
// dust sensor control protocol V1.3, Nova Fitness 2015). Measurements (C0) give
// "pm25" and "pm10" in µg/m³ and "id"; answers to settings (C5) are Control
// frames.
type SDS011 struct{}

var _ Codec = SDS011{}

const sdsSize = 10

// Name implements Codec.
func (SDS011) Name() string { return "sds011" }

// NewFramer implements Codec.
func (c SDS011) NewFramer() Framer {
	return &Packets{Sync: []byte{0xaa}, Size: sdsSize, Check: func(p []byte) string { return faultOf(c.check(p)) }}
}

func (SDS011) check(p []byte) error {
	switch {
	case len(p) != sdsSize || p[0] != 0xaa:
		return unchecked("no frame of %d bytes that begins with AA", sdsSize)
	case p[sdsSize-1] != 0xab:
		return damaged("ends with %02X, not AB", p[sdsSize-1])
	case p[1] != 0xc0 && p[1] != 0xc5:
		return damaged("command %02X is neither C0 nor C5", p[1])
	}
	if fault := Sum8.compare(p[2:8], p[8:9]); fault != "" {
		return damaged("%s", fault)
	}
	return nil
}

// Decode implements Codec.
func (c SDS011) Decode(frame []byte) ([]devices.Value, error) {
	if err := c.check(frame); err != nil {
		return nil, err
	}
	if frame[1] == 0xc5 {
		return nil, control("answer to setting %02X", frame[2])
	}
	return []devices.Value{
		{Name: "pm25", Unit: "ug/m3", Number: float64(binary.LittleEndian.Uint16(frame[2:])) / 10},
		{Name: "pm10", Unit: "ug/m3", Number: float64(binary.LittleEndian.Uint16(frame[4:])) / 10},
		{Name: "id", Text: fmt.Sprintf("%02X%02X", frame[6], frame[7]), IsText: true},
	}, nil
}

// AppendSDS011 appends a measurement as the sensor with that id sends it; dust
// in µg/m³ is rounded to 0.1 and bounded by what the frame can hold.
func AppendSDS011(dst []byte, pm25, pm10 float64, id uint16) []byte {
	data := binary.LittleEndian.AppendUint16(nil, tenths(pm25))
	data = binary.LittleEndian.AppendUint16(data, tenths(pm10))
	data = binary.BigEndian.AppendUint16(data, id)
	dst = append(append(dst, 0xaa, 0xc0), data...)
	return append(dst, byte(Sum8.Of(data)), 0xab)
}

func tenths(x float64) uint16 { return bounded16(x * 10) }

// bounded16 rounds to what 16 bits can hold; NaN is 0.
func bounded16(x float64) uint16 {
	if !(x > 0) {
		return 0
	}
	return uint16(min(math.Round(x), math.MaxUint16))
}

// Plantower is a dust sensor of Plantower: frames that begin with "BM" and their
// length, big-endian words, a sum of all bytes before it (PMS5003 series data
// manual V2.3, appendix I; PMS3003 and PMS5003T data manuals). 9600 baud 8N1.
//
// Values: "pm1", "pm25", "pm10" in µg/m³ as in the atmosphere, "pm1_cf1",
// "pm25_cf1", "pm10_cf1" as in the factory's environment, particles in 0.1 l
// larger than 0.3 … 10 µm as "n0_3" … "n10", on the T model "temperature" and
// "humidity", and "error" when the sensor reports one.
type Plantower struct {
	model string
	words int // after the length, check included
	names []string
}

// The models: PMS5003 also stands for PMS1003, PMS7003 and PMSA003.
var (
	PMS5003 = Plantower{"pms5003", 14, []string{"pm1_cf1", "pm25_cf1", "pm10_cf1", "pm1", "pm25", "pm10",
		"n0_3", "n0_5", "n1", "n2_5", "n5", "n10"}}
	PMS5003T = Plantower{"pms5003t", 14, []string{"pm1_cf1", "pm25_cf1", "pm10_cf1", "pm1", "pm25", "pm10",
		"n0_3", "n0_5", "n1", "n2_5", "temperature", "humidity"}}
	PMS3003 = Plantower{"pms3003", 10, []string{"pm1_cf1", "pm25_cf1", "pm10_cf1", "pm1", "pm25", "pm10"}}
)

var _ Codec = PMS5003

// Name implements Codec.
func (c Plantower) Name() string { return c.model }

func (c Plantower) size() int { return 4 + 2*c.words }

// NewFramer implements Codec.
func (c Plantower) NewFramer() Framer {
	return &Packets{Sync: c.head(), Size: c.size(), Check: func(p []byte) string { return faultOf(c.check(p)) }}
}

func (c Plantower) head() []byte { return []byte{'B', 'M', 0, byte(2 * c.words)} }

func (c Plantower) check(p []byte) error {
	if len(p) != c.size() || string(p[:4]) != string(c.head()) {
		return unchecked("no frame of %d bytes that begins with % X", c.size(), c.head())
	}
	_, err := Sum16.cut(p)
	return err
}

// Decode implements Codec.
func (c Plantower) Decode(frame []byte) ([]devices.Value, error) {
	if err := c.check(frame); err != nil {
		return nil, err
	}
	words := uint16s(frame[4:])
	values := make([]devices.Value, 0, len(c.names)+1)
	for i, name := range c.names {
		v := devices.Value{Name: name, Number: float64(words[i])}
		switch {
		case name == "temperature":
			v.Unit, v.Number = "Cel", float64(int16(words[i]))/10
		case name == "humidity":
			v.Unit, v.Number = "%", v.Number/10
		case name[0] == 'p':
			v.Unit = "ug/m3"
		}
		values = append(values, v)
	}
	if code := frame[len(frame)-3]; c.words == 14 && code != 0 {
		values = append(values, devices.Value{Name: "error", Number: float64(code)})
	}
	return values, nil
}

// Append appends a frame that holds the values; what the sensor does not measure
// is left out and what values lack is 0.
func (c Plantower) Append(dst []byte, values []devices.Value) []byte {
	start := len(dst)
	dst = append(dst, c.head()...)
	for i := range c.words - 1 {
		var word uint16
		if i < len(c.names) {
			word = c.word(c.names[i], values)
		}
		dst = binary.BigEndian.AppendUint16(dst, word)
	}
	return Sum16.Append(dst, dst[start:])
}

func (c Plantower) word(name string, values []devices.Value) uint16 {
	for _, v := range values {
		if v.Name != name || v.IsText {
			continue
		}
		switch name {
		case "temperature":
			return uint16(int16(math.Round(max(min(v.Number*10, math.MaxInt16), math.MinInt16))))
		case "humidity":
			return tenths(v.Number)
		}
		return bounded16(v.Number)
	}
	return 0
}

// faultOf is the reason of a rejection, "" for none.
func faultOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
