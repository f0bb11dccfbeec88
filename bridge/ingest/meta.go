package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

// maxMeta bounds the properties that one message may carry.
const maxMeta = 16 << 10

var errMeta = errors.New("ingest: metadata of a message is damaged")

// appendMeta encodes what an MQTT message has beside topic, payload, QoS and retain flag, for the journal: u16 length of origin,
// origin, and the properties of the PUBLISH as MQTT 5 section 3.3.2.3 writes them. It is empty when there is nothing to keep.
func appendMeta(origin string, p packets.Properties) []byte {
	keep := packets.Properties{
		PayloadFormat: p.PayloadFormat, PayloadFormatFlag: p.PayloadFormatFlag, MessageExpiryInterval: p.MessageExpiryInterval,
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData, User: p.User,
	}
	var buf bytes.Buffer
	keep.Encode(packets.Publish, packets.Mods{AllowResponseInfo: true}, &buf, 0)
	if origin == "" && buf.Len() <= 1 { // the length alone
		return nil
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(origin)))
	return append(append(out, origin...), buf.Bytes()...)
}

// parseMeta is the inverse of appendMeta.
func parseMeta(meta []byte) (origin string, p packets.Properties, err error) {
	if len(meta) == 0 {
		return "", p, nil
	}
	if len(meta) < 2 || len(meta) < 2+int(binary.BigEndian.Uint16(meta)) {
		return "", p, errMeta
	}
	n := 2 + int(binary.BigEndian.Uint16(meta))
	if _, err := p.Decode(packets.Publish, bytes.NewBuffer(meta[n:])); err != nil {
		return "", packets.Properties{}, errMeta
	}
	return string(meta[2:n]), p, nil
}
