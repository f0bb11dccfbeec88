package render

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	"plumbline/reports"
)

// Capacity writes how much a system carried as Markdown: the steps, the knee with what
// gave way, how costs grew, and where they lead.
func Capacity(w io.Writer, c *reports.Capacity) error {
	c = cleanValue(reflect.ValueOf(c)).Interface().(*reports.Capacity)
	var b strings.Builder
	fmt.Fprintf(&b, "**%s, along %s.** %s\n\n", md(strings.TrimSpace(c.SUT.Name+" "+c.SUT.Version)), md(c.Axis), md(kneeText(c)))
	markdownTable(&b, capacityTable(c), 0)
	b.WriteString("\n")
	for _, text := range append(growthTexts(c), capacityConditions(c)...) {
		b.WriteString("- " + md(text) + "\n")
	}
	fmt.Fprintf(&b, "\n%s\n", md(fmt.Sprintf("plumbline %s of %s, seed %d, %s. Results relate only to the item tested, under these conditions.",
		c.Tool.Version, c.Started.UTC().Format("2006-01-02"), c.Seed, machineOf(&reports.Run{Environment: c.Environment}))))
	_, err := io.WriteString(w, b.String())
	return wrap("capacity", err)
}

// axisUnits say what is counted along an axis.
var axisUnits = map[string]string{"viewers": "viewers", "idle": "viewers that only wait", "devices": "devices", "rate": "messages/s", "payload": "bytes more a payload"}

// oneMore says what one more along an axis is.
var oneMore = map[string]string{"viewers": "viewer more", "idle": "viewer more that only waits", "devices": "device more", "rate": "message/s more", "payload": "KiB more a payload"}

func onAxis(c *reports.Capacity, v float64) string { return number(v) + " " + axisName(c) }

func axisName(c *reports.Capacity) string { return cmp.Or(axisUnits[c.Axis], c.Axis) }

// kneeText says how much was carried, and what gave way beyond that.
func kneeText(c *reports.Capacity) string {
	last, first, held, gave := c.Knee()
	switch {
	case !held && !gave:
		return "Nothing was measured."
	case !held:
		return fmt.Sprintf("Not even %s were carried: %s.", onAxis(c, first.Value), first.Limit)
	case !gave:
		return fmt.Sprintf("All that was asked for was carried, up to %s; where it ends is not known.", onAxis(c, last.Value))
	}
	return fmt.Sprintf("%s were carried, %s were not: %s.", onAxis(c, last.Value), onAxis(c, first.Value), first.Limit)
}

// capacityTable has a row for every step; what is the same in all of them is a condition.
func capacityTable(c *reports.Capacity) table {
	t := table{Head: []string{axisName(c), "deliveries/s", "latency p50 / p99, ms", "lost", "CPU a delivery, µs", "cores: system", "bench", "all else", "memory, MiB: system", "bench", "held"}}
	for _, s := range c.Steps {
		held := "yes"
		if !s.Held() {
			held = "no"
		}
		t.add(nowhere, number(s.Value), figure(float64(s.Deliveries)/s.Window.Seconds()), pairOf(s.LatencyP50, s.LatencyP99),
			grouped(s.Lost), figure(s.CPU), figure(s.Cores), figure(s.BenchCores), figure(s.OtherCores), figure(s.RSS), figure(s.BenchRSS), held)
	}
	return t
}

// growthTexts say how costs grew and where they lead.
func growthTexts(c *reports.Capacity) (out []string) {
	for _, e := range c.Each {
		if !math.IsNaN(float64(e.Value)) {
			out = append(out, fmt.Sprintf("Each %s: %s %s, between %s and %s.", cmp.Or(oneMore[c.Axis], axisName(c)), e.Of, quantity(float64(e.Value), e.Unit), figure(e.Least), quantity(float64(e.Most), e.Unit)))
		}
	}
	for _, g := range c.Growth {
		if !math.IsNaN(float64(g.Exponent)) {
			out = append(out, fmt.Sprintf("Growth: %s, above what there is without any, with %s to the power %s (%s to %s, over threes of %d steps that held).", g.Of, c.Axis, figure(g.Exponent), figure(g.Least), figure(g.Most), g.Steps))
		}
	}
	for _, p := range c.Projections {
		if !math.IsNaN(float64(p.Value)) {
			out = append(out, fmt.Sprintf("Projection to %s, %s times what was carried: %s %s, between %s and %s.",
				onAxis(c, p.At), figure(p.Ratio), p.Of, quantity(float64(p.Value), p.Unit), figure(p.Least), quantity(float64(p.Most), p.Unit)))
		}
	}
	if len(out) > 0 {
		out = append(out, "The model: for one more and projections a line through two steps that held, for growth a curve a + b·x^power through three, each twice the one before at least and the last half of the largest at least. The figure is the median over all such steps; what stands beside it is their spread, the least and the most of any, and no bound of the truth. A limit that lies between, such as descriptors, ports or one more machine, is not in it.")
	}
	return out
}

// capacityConditions say under what the figures stand.
func capacityConditions(c *reports.Capacity) []string {
	out := []string{}
	if len(c.Steps) > 0 {
		out = append(out, "Beside it: "+beside(c, c.Steps[0])+".")
	}
	return append(out,
		fmt.Sprintf("A step holds when 99.9 %% of what was due was written, nothing was lost, and p99 from the intended instant is at most %s ms. Each is a fresh start of the system, with QoS 1 in an open loop; every viewer watches all devices, but for those that only wait: they watch what is never published, and none of them is cut.", figure(c.LatencyMost)),
		fmt.Sprintf("System, viewers and load share %d cores and the loopback interface: where the bench takes more of them than the system, the system alone carries more than stands here. All else is other programs and the kernel's own work, that for the loopback interface among it.", c.Cores))
}

// beside says what is the same in all steps.
func beside(c *reports.Capacity, s reports.CapacityStep) string {
	var parts []string
	for _, one := range []struct{ axis, text string }{
		{"devices", several(s.Devices, "device")}, {"rate", number(s.Rate) + " messages/s over all devices"}, {"viewers", several(s.Viewers, "viewer")},
		{"idle", several(s.Idle, "viewer") + " that only wait"}, {"payload", several(s.Payload, "byte") + " more a payload than devices make it"},
	} {
		if one.axis != c.Axis && !strings.HasPrefix(one.text, "0 ") {
			parts = append(parts, one.text)
		}
	}
	switch {
	case c.Processes > 0:
		parts = append(parts, "viewers in "+processesOf(c.Processes)+", by one clock")
	default:
		parts = append(parts, "viewers in the process of the bench")
	}
	if c.Generators > 1 {
		parts = append(parts, "devices in "+processesOf(c.Generators))
	}
	return strings.Join(append(parts, "each step measured for "+s.Window.String()), "; ")
}

// processesOf says in how many processes of its own something is.
func processesOf(n int) string {
	if n == 1 {
		return "a process of their own"
	}
	return fmt.Sprintf("%d processes of their own", n)
}

// several counts something.
func several(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(float64(n)) + " " + one + "s"
}
