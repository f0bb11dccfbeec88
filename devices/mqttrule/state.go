package mqttrule

import "strings"

// StateTopics returns the topics under which a device that publishes under topic
// says, by an availability message, its last will, a birth or a death, that it is
// there or gone; nil where the rule's layout does not tell, as with Home Assistant,
// whose discovery messages name it.
func StateTopics(rule Rule, topic string) []string {
	levels := strings.Split(topic, "/")
	switch rule.(type) {
	case Tasmota:
		if len(levels) >= 3 && (levels[0] == "tele" || levels[0] == "stat") {
			return []string{"tele/" + strings.Join(levels[1:len(levels)-1], "/") + "/LWT"}
		}
	case Shelly:
		switch {
		case levels[0] == "shellies" && len(levels) >= 3:
			return []string{"shellies/" + levels[1] + "/online"}
		case levels[0] != "shellies" && len(levels) >= 2:
			return []string{levels[0] + "/online"}
		}
	case Zigbee2MQTT:
		if name, found := strings.CutPrefix(topic, "zigbee2mqtt/"); found && name != "" && !strings.HasPrefix(name, "bridge/") {
			return []string{"zigbee2mqtt/" + strings.TrimSuffix(name, "/availability") + "/availability"}
		}
	case *SparkplugB:
		if levels[0] != "spBv1.0" || len(levels) != 4 && len(levels) != 5 {
			return nil
		}
		topics := []string{}
		for _, kind := range []string{"NBIRTH", "NDEATH"} {
			topics = append(topics, strings.Join([]string{levels[0], levels[1], kind, levels[3]}, "/"))
		}
		if len(levels) == 5 {
			for _, kind := range []string{"DBIRTH", "DDEATH"} {
				topics = append(topics, strings.Join([]string{levels[0], levels[1], kind, levels[3], levels[4]}, "/"))
			}
		}
		return topics
	}
	return nil
}

// State reads an availability message in the words that most use: online and
// offline, bare or as {"state":"online"}. The error is a *codec.Reject.
func State(payload []byte) (online bool, err error) {
	r, err := stateOf("", payload)
	if err != nil {
		return false, err
	}
	return *r.Online, nil
}
