package viewer

import (
	"testing"

	"github.com/gorilla/websocket"

	"plumbline/harness/mqttwire"
)

// What a message says about itself is handed on with it, for live messages and
// for those that were there before.
func TestMQTTTellsWhatMessagesSay(t *testing.T) {
	want := mqttwire.Properties{Text: true, ContentType: "a/b", ResponseTopic: "r", Correlation: []byte{0, 1}, User: [][2]string{{"k", "2"}, {"k", "1"}}}
	url := broker5(t, "mqtt", func(c *websocket.Conn) {
		binaryFrames(c, connack5)
		_, _, _ = c.ReadMessage()
		binaryFrames(c, suback5)
		for _, m := range []mqttwire.Message{
			{Topic: []byte("a/x"), Payload: []byte("p1"), Retain: true, Extra: &want}, {Topic: []byte("a/y"), Payload: []byte("p2"), Extra: &want}, {Topic: []byte("a/z"), Payload: []byte("p3")},
		} {
			data, _ := mqttwire.AppendMessage(nil, mqttwire.V5, m)
			binaryFrames(c, data)
		}
		_, _, _ = c.ReadMessage()
	})
	r := newRecording(t)
	cfg := mqttConfig(r, url, "5")
	type heard struct {
		topic, payload string
		said           mqttwire.Properties
	}
	var all []heard
	cfg.Said = func(topic string, payload []byte, said mqttwire.Properties) {
		all = append(all, heard{topic, string(payload), said})
	}
	v := open(t, cfg)
	must(t, v.WaitReceived(limit(t), 2))
	must(t, v.Close())
	if len(all) != 3 || all[0].topic != "a/x" || all[0].payload != "p1" || !all[0].said.Equal(want) || !all[1].said.Equal(want) || !all[2].said.Equal(mqttwire.Properties{}) {
		t.Errorf("heard %+v", all)
	}
}
