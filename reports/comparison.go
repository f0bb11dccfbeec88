package reports

// Comparison sets ways to bring readings to viewers side by side, measured under one
// load against one system within one run, and holds what is said of them against the
// figures. It decides no verdict of the run.
type Comparison struct {
	Scenario   string     `json:"scenario"`
	Title      string     `json:"title"`
	Conditions []string   `json:"conditions"` // sentences: load, machine, how it was counted
	Approaches []Approach `json:"approaches"`
	Claims     []Claim    `json:"claims"`
}

// Approach is one way to bring readings to viewers. NaN is what could not be
// established, such as what no system told.
type Approach struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Viewers   int    `json:"viewers"`
	Rounds    int    `json:"rounds"`
	Readings  int64  `json:"readings"`  // delivered within the windows, at all viewers
	Lost      int64  `json:"lost"`      // owed and never delivered, nor declared as left out
	Conflated int64  `json:"conflated"` // declared as left out for a newer one of the same topic

	LatencyP50 Float `json:"latency_p50_ms"` // from the intended instant to the arrival at the viewer
	LatencyP99 Float `json:"latency_p99_ms"`
	AgeP50     Float `json:"age_p50_ms"` // of the values that viewers show, over all time and topics
	AgeP99     Float `json:"age_p99_ms"`

	Bytes       Layers `json:"bytes_per_reading"` // in both directions
	Overhead    Float  `json:"framing_per_message_bytes"`
	Messages    int64  `json:"messages"`       // frames, events or answers that brought them
	Requests    Float  `json:"requests_per_s"` // of one viewer, within the windows
	Connections Float  `json:"connections"`    // of one viewer, for as long as it was there

	Bridge CPU `json:"bridge"`
	Client CPU `json:"client"`
}

// Layers says for what bytes went over the wire: Message, Framing, TLS and TCPIP add up
// to Wire.
type Layers struct {
	Payload Float `json:"payload"` // of the readings, as they were published: in Message, where it may be compressed
	Message Float `json:"message"` // frames' contents, data of events, bodies of answers, as they are on the wire
	Framing Float `json:"framing"` // heads of HTTP, events and frames
	TLS     Float `json:"tls"`     // heads and tags of records
	TCPIP   Float `json:"tcp_ip"`  // heads of segments, those of acknowledgements among them
	Wire    Float `json:"wire"`
}

// CPU is processor time for each reading that was delivered, above what was used
// without viewers.
type CPU struct {
	PerReading Float `json:"per_reading_us"`
	Ratio      Float `json:"ratio"` // to the approach that the comparison is about, within the run
	Least      Float `json:"ratio_least"`
	Most       Float `json:"ratio_most"` // over the rounds
}

// Standing is what became of a claim.
type Standing string

// What can become of a claim.
const (
	Holds       Standing = "holds"
	HoldsPartly Standing = "holds under conditions"
	HoldsNot    Standing = "does not hold"
	HoldsOpen   Standing = "not established" // nothing was measured that could tell
)

// Claim is something that is said of approaches, held against the figures.
type Claim struct {
	ID       string   `json:"id"`
	Text     string   `json:"text"`
	Standing Standing `json:"standing"`
	Figure   string   `json:"figure"` // what was measured, and the condition if there is one
}
