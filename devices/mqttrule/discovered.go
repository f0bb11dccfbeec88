package mqttrule

// Availability returns the topic under which the sensor with that state topic says
// "online" or "offline", as its discovery message declares it; "" when it declares
// none or other words.
func (h *HomeAssistant) Availability(stateTopic string) string {
	for _, key := range sortedKeys(h.states[stateTopic]) {
		topic := h.states[stateTopic][key].available
		if a, known := h.online[topic]; known && a.on == "online" && a.off == "offline" {
			return topic
		}
	}
	return ""
}
