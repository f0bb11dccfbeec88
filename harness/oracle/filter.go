package oracle

import "strings"

// matches reports whether an MQTT filter takes a topic (MQTT 5.0 section 4.7).
// It is written here once more on purpose: what judges the bridge shares no
// code with it.
func matches(filter, topic string) bool {
	// Wildcards at the first level do not take topics of the broker's own.
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") { // [MQTT-4.7.2-1]
		return false
	}
	for {
		level, restFilter, moreFilter := strings.Cut(filter, "/")
		if level == "#" {
			return true // [MQTT-4.7.1-2]: also takes the parent level
		}
		name, restTopic, moreTopic := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		switch {
		case moreFilter && moreTopic:
			filter, topic = restFilter, restTopic
		case moreFilter:
			return restFilter == "#" // a/# takes a
		default:
			return !moreTopic
		}
	}
}

func takes(filters []string, topic string) bool {
	for _, filter := range filters {
		if matches(filter, topic) {
			return true
		}
	}
	return false
}
