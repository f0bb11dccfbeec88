package codec

import (
	"strconv"
	"strings"

	"plumbline/devices"
)

// field describes one value of a sentence: which field, how it is called, its
// unit, and how it is read.
type field struct {
	index int
	name  string
	unit  string
	read  reader
}

// reader is how a field is read.
type reader uint8

const (
	number    reader = iota
	text             // as it stands
	latitude         // ddmm.mmmm with N or S in the next field
	longitude        // dddmm.mmmm with E or W in the next field
	clock            // hhmmss.sss → seconds of the UTC day
)

type parser func(values []devices.Value, fields []string) []devices.Value

// sentences returns the parser of a sentence type. Layouts: IEC 61162-1,
// section 8.3; units are UCUM symbols.
func sentences(kind string) (parser, bool) {
	layout := layoutOf(kind)
	if layout == nil {
		return nil, false
	}
	return func(values []devices.Value, fields []string) []devices.Value {
		for _, f := range layout {
			if f.index < len(fields) && fields[f.index] != "" {
				values = append(values, f.value(fields))
			}
		}
		return values
	}, true
}

// layoutOf lists the named fields of the sentence types that are known by name.
func layoutOf(kind string) []field {
	switch kind {
	case "GGA":
		return []field{{1, "utc", "s", clock}, {2, "lat", "deg", latitude}, {4, "lon", "deg", longitude},
			{6, "quality", "", number}, {7, "satellites", "", number}, {8, "hdop", "", number},
			{9, "altitude", "m", number}, {11, "geoid", "m", number}}
	case "RMC":
		return []field{{1, "utc", "s", clock}, {2, "status", "", text}, {3, "lat", "deg", latitude},
			{5, "lon", "deg", longitude}, {7, "speed", "[kn_i]", number}, {8, "course", "deg", number}, {9, "date", "", text}}
	case "VTG":
		return []field{{1, "course", "deg", number}, {3, "course_magnetic", "deg", number},
			{5, "speed", "[kn_i]", number}, {7, "speed_kmh", "km/h", number}}
	case "GLL":
		return []field{{1, "lat", "deg", latitude}, {3, "lon", "deg", longitude}, {5, "utc", "s", clock}, {6, "status", "", text}}
	case "GSA":
		return []field{{1, "selection", "", text}, {2, "fix", "", number}, {15, "pdop", "", number},
			{16, "hdop", "", number}, {17, "vdop", "", number}}
	case "HDT":
		return []field{{1, "heading", "deg", number}}
	case "DBT":
		return []field{{1, "depth_ft", "[ft_i]", number}, {3, "depth", "m", number}, {5, "depth_fathom", "[fth_i]", number}}
	case "DPT":
		return []field{{1, "depth", "m", number}, {2, "offset", "m", number}}
	case "MTW":
		return []field{{1, "water_temperature", "Cel", number}}
	case "MWV":
		return []field{{1, "wind_angle", "deg", number}, {2, "reference", "", text}, {3, "wind_speed", "", number},
			{4, "wind_unit", "", text}, {5, "status", "", text}}
	case "ZDA":
		return []field{{1, "utc", "s", clock}, {2, "day", "d", number}, {3, "month", "mo", number}, {4, "year", "a", number}}
	}
	return nil
}

// value reads the field; what cannot be read comes as text.
func (f field) value(fields []string) devices.Value {
	raw := fields[f.index]
	asText := devices.Value{Name: f.name, Text: strings.ToValidUTF8(raw, "\uFFFD"), IsText: true}
	var n float64
	var ok bool
	switch f.read {
	case text:
		return asText
	case latitude:
		n, ok = angle(raw, hemisphere(fields, f.index), "N", "S", 90)
	case longitude:
		n, ok = angle(raw, hemisphere(fields, f.index), "E", "W", 180)
	case clock:
		n, ok = secondsOfDay(raw)
	default:
		n, ok = decimal(raw)
	}
	if !ok {
		return asText
	}
	return devices.Value{Name: f.name, Unit: f.unit, Number: n}
}

// hemisphere is the letter in the field after index.
func hemisphere(fields []string, index int) string {
	if index+1 < len(fields) {
		return fields[index+1]
	}
	return ""
}

// angle reads degrees and minutes, dddmm.mmmm, with its hemisphere.
func angle(raw, hemi, positive, negative string, limit float64) (float64, bool) {
	whole, _, _ := strings.Cut(raw, ".")
	if len(whole) < 3 || raw[0] == '-' || raw[0] == '+' {
		return 0, false
	}
	degrees, okDegrees := decimal(raw[:len(whole)-2])
	minutes, okMinutes := decimal(raw[len(whole)-2:])
	n := degrees + minutes/60
	if !okDegrees || !okMinutes || minutes >= 60 || n > limit {
		return 0, false
	}
	switch hemi {
	case positive:
		return n, true
	case negative:
		return -n, true
	}
	return 0, false
}

// secondsOfDay reads hhmmss or hhmmss.sss; a leap second (60) is allowed.
func secondsOfDay(raw string) (float64, bool) {
	whole, _, _ := strings.Cut(raw, ".")
	if len(whole) != 6 {
		return 0, false
	}
	h, err1 := strconv.ParseUint(raw[:2], 10, 8)
	m, err2 := strconv.ParseUint(raw[2:4], 10, 8)
	s, ok := decimal(raw[4:])
	if err1 != nil || err2 != nil || !ok || h > 23 || m > 59 || s < 0 || s >= 61 {
		return 0, false
	}
	return float64(h*3600+m*60) + s, true
}
