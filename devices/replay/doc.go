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
// One JSON object a line, written in one piece each, so that a file that was cut
// anywhere is read up to the cut. The first names the format, what was recorded
// and how; the frames follow with their offset from the start in microseconds and
// their bytes, as text when they are UTF-8, else in base64; a frame is what one
// read of the port brought. Between them stand the changes of the modem lines,
// what the kernel counted as line errors and breaks since it was last asked, and
// when the port was lost and came back. MQTT messages carry topic, QoS and
// the retained flag. The last line counts all that lie between, so that a cut
// file is told from a whole one:
//
//	{"format":"plumbline.recording.v2","codec":"nmea0183","device":"GPS-320FW","settings":{"baud":4800},"note":"…"}
//	{"us":0,"raw":"$GPHDT,274.07,T*03\r\n"}
//	{"us":900,"modem":{"cts":true,"dsr":false,"dcd":false,"ri":false}}
//	{"us":1000123,"base64":"/wA="}
//	{"us":1000200,"errors":{"parity":1,"break":1}}
//	{"us":1500000,"port":"unplugged"}
//	{"us":1600000,"topic":"tele/plug/LWT","qos":1,"retain":true,"raw":"Online"}
//	{"end":6}
//
// Version 1 had the fields codec, device and note in the first line, and frames
// only; it is read as well.
package replay
