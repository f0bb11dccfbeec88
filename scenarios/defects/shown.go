package defects

// shown are defects of what a message says and of what a viewer is shown.
var shown = []Defect{
	seeded("F13", "lets QoS 0 overtake QoS 1", "ORD-03", "mixed", "", "66 pairs back to back"),
	seeded("F14", "sends the last values after fresher live ones", "ORD-04", "late", "1ms", "44 subscriptions that race a publisher"),
	seeded("F15", "sends no last values, and forgets their mark", "STA-01", "late", "", "1 late viewer"),
	seeded("F16", "keeps the will of a device to itself", "STA-02", "live", "", "1 device that ends hard"),
	seeded("F17", "shows nothing new after 60 messages; the connection lives", "LAT-07", "live", "60", "2 periods and the ceiling"),
	seeded("F17s", "the same, seen as a last value that never comes", "STA-03", "live", "60", "2 periods and the ceiling"),
	seeded("F18", "conflates and leaves out the newest", "STA-03", "live", "20ms", "21 bursts, then silence"),
	seeded("F21", "flushes by size only: the end of a burst hangs", "LAT-07", "live", "10", "1 burst, then silence"),
	seeded("F30", "loses the last byte of payloads of 125 to 127 bytes", "INT-01", "payloads", "125/127", "1 of each length"),
	seeded("F31", "loses the last byte of payloads of 65 535 and 65 536 bytes", "INT-01", "payloads", "65535/65536", "1 of each length"),
	seeded("F32", "loses the last byte of payloads beyond one TLS record", "INT-01", "payloads", "16385/1048576", "1 of 16 385 bytes"),
	seeded("F33", "ends text at NUL, drops byte order marks, has one byte a character", "INT-02", "payloads", "", "1 pass of the corpus"),
	seeded("F34", "makes text of bytes that are none", "INT-01", "payloads", "", "1 random payload"),
	seeded("F35", "reads numbers as float32", "INT-02", "payloads", "", "1 number"),
	seeded("F36", "writes times anew, in UTC and whole seconds", "INT-02", "payloads", "", "2 times"),
	overMQTT(seeded("F37", "passes on neither content types nor user properties", "INT-03", "payloads", "", "1 message")),
	overMQTT(seeded("F37m", "keeps user properties in a map", "INT-03", "payloads", "", "1 message with a name twice, or out of order")),
	squeezed(seeded("F66", "counts wrongly how far back a compressed message refers, once 32 KiB have gone before", "INT-05", "payloads", "32768", "100 messages, 64 KiB in all")),
	seeded("F38", "confuses topics that differ by case", "INT-04", "payloads", "A/a", "1 pass of the corpus"),
}

// squeezed has flawed compress.
func squeezed(d Defect) Defect { d.Squeeze = true; return d }

// overMQTT has viewers speak MQTT.
func overMQTT(d Defect) Defect { d.MQTT = true; return d }
