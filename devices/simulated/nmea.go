package simulated

import (
	"fmt"
	"math"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
)

const knotsPerMetreSecond = 3600.0 / 1852

// AppendNMEA appends what a receiver would say of a sample of the GPS kind at
// the wall-clock instant utc: RMC, GGA and VTG with talker GP, as most
// single-system receivers do once a second (NMEA 0183 / IEC 61162-1, 8.3).
func AppendNMEA(dst []byte, s devices.Sample, utc time.Time) []byte {
	get := func(name string) float64 {
		for _, v := range s.Values {
			if v.Name == name {
				return v.Number
			}
		}
		return 0
	}
	utc = utc.UTC()
	clock := utc.Format("150405.00")
	position := degreesMinutes(get("lat"), 2, "N", "S") + "," + degreesMinutes(get("lon"), 3, "E", "W")
	knots := get("speed") * knotsPerMetreSecond
	dst = codec.AppendNMEA(dst, fmt.Sprintf("GPRMC,%s,A,%s,%.2f,%.1f,%s,,,A", clock, position, knots, get("course"), utc.Format("020106")))
	dst = codec.AppendNMEA(dst, fmt.Sprintf("GPGGA,%s,%s,1,%02.0f,0.9,%.1f,M,47.0,M,,", clock, position, get("satellites"), get("altitude")))
	return codec.AppendNMEA(dst, fmt.Sprintf("GPVTG,%.1f,T,,M,%.2f,N,%.2f,K,A", get("course"), knots, knots*1.852))
}

// degreesMinutes writes an angle as dddmm.mmmmm,H; the carry of a rounding up
// to 60 minutes goes to the degrees.
func degreesMinutes(angle float64, width int, positive, negative string) string {
	hemisphere := positive
	if angle < 0 {
		hemisphere = negative
	}
	const perMinute = 100_000
	total := int64(math.Round(math.Abs(angle) * 60 * perMinute))
	degrees, minutes := total/(60*perMinute), total%(60*perMinute)
	return fmt.Sprintf("%0*d%02d.%05d,%s", width, degrees, minutes/perMinute, minutes%perMinute, hemisphere)
}
