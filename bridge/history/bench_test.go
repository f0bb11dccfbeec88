package history

import "testing"

// One op is one message.
func BenchmarkExtract(b *testing.B) {
	for name, payload := range map[string]string{
		"number": "21.5", "object": `{"ts":1772625600500,"temperature":21.5,"humidity":40.25,"ok":true,"unit":"°C"}`, "text": "door opened by somebody",
	} {
		b.Run(name, func(b *testing.B) {
			var x Extractor
			var batch Batch
			e := entry("plant/line1/machine7/state", payload)
			b.ReportAllocs()
			for b.Loop() {
				batch.Points, batch.Events = batch.Points[:0], batch.Events[:0]
				x.Extract(&batch, e)
			}
		})
	}
}
