package live

import (
	"sync"
	"time"

	"plumbline/harness/record"
	"plumbline/reports/events"
)

// Every is how often figures are told.
const Every = time.Second

// Told is what a Monitor tells: Figures, or a Change.
type Told struct {
	Scenario string
	At       time.Time // by the wall clock
	Figures  *events.Figures
	Change   *Change
}

// Monitor follows one recording after the other.
type Monitor struct {
	tell func(Told)

	mu       sync.Mutex
	scenario string
	recorder *record.Recorder // nil between two
	meter    *Meter

	quit, done chan struct{}
	once       sync.Once
}

// NewMonitor starts to tell; the caller must Close it. tell is called on several
// goroutines, also at a time, one of which writes the recording: it must not block.
func NewMonitor(every time.Duration, tell func(Told)) *Monitor {
	m := &Monitor{tell: tell, quit: make(chan struct{}), done: make(chan struct{})}
	go m.run(every)
	return m
}

func (m *Monitor) run(every time.Duration) {
	defer close(m.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
			m.figures()
		}
	}
}

// figures tells the figures of the recording at work.
func (m *Monitor) figures() {
	m.mu.Lock()
	scenario, recorder, meter := m.scenario, m.recorder, m.meter
	m.mu.Unlock()
	if recorder == nil {
		return
	}
	f := meter.Figures(recorder.Clock().Now())
	f.Began = recorder.Clock().Epoch().UTC().Round(0)
	m.tell(Told{Scenario: scenario, At: time.Now(), Figures: &f})
}

// Follow looks at a recording of a scenario from now on, and no more at the one
// before. Call it when the recording begins.
func (m *Monitor) Follow(scenario string, recorder *record.Recorder) {
	meter := &Meter{}
	recorder.Watch(func(w record.Written) {
		for _, c := range meter.Take(w) {
			m.tell(Told{Scenario: scenario, At: recorder.Clock().Epoch().Add(time.Duration(c.At)), Change: &c})
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
	m.scenario, m.recorder, m.meter = scenario, recorder, meter
}

// Leave looks at no recording until the next Follow.
func (m *Monitor) Leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
}

// drop is Leave; the caller holds mu.
func (m *Monitor) drop() {
	if m.recorder != nil {
		m.recorder.Watch(nil)
	}
	m.recorder, m.meter = nil, nil
}

// Close ends the telling and returns when its goroutine has ended. It may be
// called again.
func (m *Monitor) Close() {
	m.once.Do(func() {
		close(m.quit)
		<-m.done
		m.Leave()
	})
}
