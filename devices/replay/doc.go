// Package replay plays recordings of real devices with their timing: text
// logs of NMEA 0183 sentences, which carry their own clock, other line
// protocols at a fixed rate, and this package's timed format, which keeps when
// each frame came.
//
// A recording can be read as a device, or fed as raw bytes into any writer: a
// pty twin, say, so that the serial driver decodes it as it would the sensor.
//
// # Timed format
//
// One JSON object a line. The first names the format, the frames follow with
// their offset from the start in microseconds and their bytes, as text when
// they are UTF-8, else in base64; the last counts them, so that a cut file is
// told from a whole one:
//
//	{"format":"plumbline.recording.v1","codec":"nmea0183","device":"GPS-320FW","note":"…"}
//	{"us":0,"raw":"$GPHDT,274.07,T*03\r\n"}
//	{"us":1000123,"base64":"/wA="}
//	{"end":2}
package replay
