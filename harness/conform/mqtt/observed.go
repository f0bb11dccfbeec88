package mqtt

import "plumbline/harness/conform"

func always(id, section, text string) conform.Standing {
	return conform.Standing{
		Rule:  conform.Rule{ID: id, Section: section, Level: conform.Must, Text: text},
		Empty: "the server sent nothing that the rule is about",
	}
}

// standing are the rules that hold for every packet of a broker in every case.
var standing = []conform.Standing{
	always("MQTT311-2.0-1", "MQTT 3.1.1 sections 2 and 3", "Every packet that a server sends shall be well formed."),
	always("MQTT5-2.0-1", "MQTT 5.0 sections 2 and 3", "Every packet that a server sends shall be well formed."),
	always("MQTT5-3.1.2-27", "MQTT 5.0 [MQTT-3.1.2-27]", "A server shall send no topic alias to a client that announced none."),
	always("MQTT5-3.14.4-1", "MQTT 5.0 [MQTT-3.14.4-1]", "A server shall send nothing after DISCONNECT."),
}
