package tables

import "plumbline/reports"

// Approach is a row of approaches: one way to bring readings to viewers, as it was measured
// beside others. Bytes are those a reading, in both directions.
type Approach struct {
	Run            string  `parquet:"run"`
	Scenario       string  `parquet:"scenario"`
	ID             string  `parquet:"approach"`
	Name           string  `parquet:"name"`
	Viewers        int64   `parquet:"viewers"`
	Rounds         int64   `parquet:"rounds"`
	Readings       int64   `parquet:"readings"`
	Lost           int64   `parquet:"lost"`
	Conflated      int64   `parquet:"conflated"`
	LatencyP50     float64 `parquet:"latency_p50_ms"`
	LatencyP99     float64 `parquet:"latency_p99_ms"`
	AgeP50         float64 `parquet:"age_p50_ms"`
	AgeP99         float64 `parquet:"age_p99_ms"`
	Payload        float64 `parquet:"payload_bytes"`
	Message        float64 `parquet:"message_bytes"`
	Framing        float64 `parquet:"framing_bytes"`
	TLS            float64 `parquet:"tls_bytes"`
	TCPIP          float64 `parquet:"tcp_ip_bytes"`
	Wire           float64 `parquet:"wire_bytes"`
	Overhead       float64 `parquet:"framing_per_message_bytes"`
	Messages       int64   `parquet:"messages"`
	Requests       float64 `parquet:"requests_per_s"`
	Connections    float64 `parquet:"connections"`
	BridgeCPU      float64 `parquet:"bridge_cpu_us"`
	BridgeRatio    float64 `parquet:"bridge_cpu_ratio"`
	BridgeRatioMin float64 `parquet:"bridge_cpu_ratio_least"`
	BridgeRatioMax float64 `parquet:"bridge_cpu_ratio_most"`
	ClientCPU      float64 `parquet:"client_cpu_us"`
	ClientRatio    float64 `parquet:"client_cpu_ratio"`
	ClientRatioMin float64 `parquet:"client_cpu_ratio_least"`
	ClientRatioMax float64 `parquet:"client_cpu_ratio_most"`
}

// Claim is a row of claims: what is said of approaches, held against the figures.
type Claim struct {
	Run      string `parquet:"run"`
	Scenario string `parquet:"scenario"`
	ID       string `parquet:"claim"`
	Text     string `parquet:"text"`
	Standing string `parquet:"standing"`
	Figure   string `parquet:"figure"`
}

// Approaches lays out what was compared.
func Approaches(run *reports.Run) (rows []Approach) {
	for _, c := range run.Comparisons {
		for _, a := range c.Approaches {
			rows = append(rows, Approach{
				Run: run.ID, Scenario: c.Scenario, ID: a.ID, Name: a.Name, Viewers: int64(a.Viewers), Rounds: int64(a.Rounds), Readings: a.Readings, Lost: a.Lost, Conflated: a.Conflated,
				LatencyP50: float64(a.LatencyP50), LatencyP99: float64(a.LatencyP99), AgeP50: float64(a.AgeP50), AgeP99: float64(a.AgeP99),
				Payload: float64(a.Bytes.Payload), Message: float64(a.Bytes.Message), Framing: float64(a.Bytes.Framing), TLS: float64(a.Bytes.TLS), TCPIP: float64(a.Bytes.TCPIP),
				Wire: float64(a.Bytes.Wire), Overhead: float64(a.Overhead), Messages: a.Messages, Requests: float64(a.Requests), Connections: float64(a.Connections),
				BridgeCPU: float64(a.Bridge.PerReading), BridgeRatio: float64(a.Bridge.Ratio), BridgeRatioMin: float64(a.Bridge.Least), BridgeRatioMax: float64(a.Bridge.Most),
				ClientCPU: float64(a.Client.PerReading), ClientRatio: float64(a.Client.Ratio), ClientRatioMin: float64(a.Client.Least), ClientRatioMax: float64(a.Client.Most),
			})
		}
	}
	return rows
}

// Claims lays out what became of what is said.
func Claims(run *reports.Run) (rows []Claim) {
	for _, c := range run.Comparisons {
		for _, claim := range c.Claims {
			rows = append(rows, Claim{Run: run.ID, Scenario: c.Scenario, ID: claim.ID, Text: claim.Text, Standing: string(claim.Standing), Figure: claim.Figure})
		}
	}
	return rows
}
