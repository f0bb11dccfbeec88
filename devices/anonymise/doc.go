// Package anonymise takes identities and positions out of what devices say and
// leaves it playable: every replacement is as long as what it replaces, the same
// is replaced by the same wherever it stands, and checks are computed anew.
// A replacement is a keyed hash (HMAC-SHA-256) of what it replaces; who has not
// the key cannot compute it back.
//
// # What is replaced
//
//   - nmea0183: latitudes and longitudes (any number before N, S, E or W with four
//     digits or more), the payload of AIS messages behind its first character, in
//     proprietary sentences and TXT runs of six or more letters and digits with at
//     least four digits or of capital hexadecimal digits (FLARM, ICAO), and all letters and digits behind the address of sentences
//     that are not known to hold readings, times and waypoints only (DSC, LRI, TTM …).
//   - dsmr-p1: the values of the objects 96.1.x (equipment of the meter and of what
//     hangs on it), 96.13.x (messages to the consumer), 42.0.x and 0.0.x, and runs
//     of eight digits or more in the identification.
//   - sds011: the sensor's two bytes of identity. pms5003, pms5003t, pms3003 carry none.
//   - linejson, linejson+crc, senml+json and MQTT payloads in JSON: every text
//     that is no number, no time and none of the words of states; the digits of
//     numbers whose name is one of an identity or of a mobile network's cell, and of numbers in quotes of six digits
//     or more; latitudes and longitudes, by their names or those of positions, and all
//     numbers with a point where a text says "lat", "lon", "Point" and the like; in names of
//     members runs as above. SenML: base names, names with a digit in them; units stay.
//   - MQTT: every level of a topic that is none of the words of the known families;
//     payloads that are plain texts, and plain numbers under a topic that ends in the
//     name of a position or an identity.
//   - Every frame that fails its check, and every byte outside of frames: letters
//     become x, digits 0, bytes of SDS011 00. Such a frame stays one that fails.
//
// # What stays
//
// Readings, times, quality, speed, course, altitude, the satellites in view and the
// magnetic variation of a receiver (which tell where it is to some hundred
// kilometres), names of waypoints, the first part of P1's identification (maker and type), names of JSON
// members, lengths, and when everything came. A track is none any more, but its
// speed and course are that of the vehicle; consumption shows a household's day. A
// name of one or two characters has few that it can become, itself among them.
//
// MQTT payloads that are neither text nor JSON cannot be looked into: they are
// withheld, and other codecs are refused.
package anonymise
