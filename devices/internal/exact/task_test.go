package exact_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/internal/exact"
)

// TestTasksAreDoneInTheOrderOfTheirInstants: never before, and each as often as it
// asks for.
func TestTasksAreDoneInTheOrderOfTheirInstants(t *testing.T) {
	var mu sync.Mutex
	var order []int
	start := exact.Now() + int64(5*time.Millisecond)
	var tasks []*exact.Task
	for i := range 10 {
		left := 3
		task := exact.NewTask(func(now int64) int64 {
			mu.Lock()
			defer mu.Unlock()
			due := start + int64(3-left)*int64(10*time.Millisecond) + int64(i)*int64(time.Millisecond)
			if now < due {
				t.Errorf("task %d is done %v before its instant", i, time.Duration(due-now))
			}
			order = append(order, i)
			if left--; left == 0 {
				return 0
			}
			return due + int64(10*time.Millisecond)
		})
		defer task.Stop()
		tasks = append(tasks, task)
	}
	all := exact.NewTask(func(int64) int64 { // none is done before all are there
		for i, task := range tasks {
			task.At(start + int64(i)*int64(time.Millisecond))
		}
		return 0
	})
	defer all.Stop()
	all.At(1)
	devicetest.Eventually(t, "30 calls", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) >= 30 })
	mu.Lock()
	defer mu.Unlock()
	if want := slices.Concat(series, series, series); !slices.Equal(order, want) {
		t.Errorf("done in the order %v", order)
	}
}

var series = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// TestAnInstantCanOnlyComeSooner: whoever asks for an earlier one gets it, a later one
// changes nothing, and neither is lost while the task is done.
func TestAnInstantCanOnlyComeSooner(t *testing.T) {
	hour := exact.Now() + int64(time.Hour)
	calls, entered, leave := make(chan int64, 10), make(chan struct{}), make(chan struct{})
	task := exact.NewTask(func(now int64) int64 {
		calls <- now
		if len(calls) == 1 {
			close(entered)
			<-leave // no task of the product blocks; this one shows what comes meanwhile
		}
		return hour
	})
	defer task.Stop()
	task.At(hour)
	task.At(exact.Now())
	task.At(hour)
	<-entered
	task.At(exact.Now())
	close(leave)
	devicetest.Eventually(t, "both calls", func() bool { return len(calls) == 2 })
}

// TestNoTaskIsDoneAfterItsStop: Stop waits for the call that is under way.
func TestNoTaskIsDoneAfterItsStop(t *testing.T) {
	for range 200 {
		var stopped bool
		var mu sync.Mutex
		task := exact.NewTask(func(now int64) int64 {
			mu.Lock()
			defer mu.Unlock()
			if stopped {
				t.Error("done after its stop")
			}
			return now + 1
		})
		task.At(1)
		task.Stop()
		mu.Lock()
		stopped = true
		mu.Unlock()
		task.At(1)
		task.Stop()
	}
}

// TestAnAlarmWakes: for each instant that has come since C was looked at there is one
// thing in it.
func TestAnAlarmWakes(t *testing.T) {
	alarm := exact.NewAlarm()
	defer alarm.Stop()
	for range 20 {
		due := exact.Now() + int64(200*time.Microsecond)
		alarm.At(due)
		for exact.Now() < due {
			<-alarm.C
		}
	}
	alarm.At(0) // long ago
	<-alarm.C
}

// BenchmarkLateness tells how late a task is done, and how late a goroutine is woken.
func BenchmarkLateness(b *testing.B) {
	const every = int64(1700 * time.Microsecond)
	b.Run("task", func(b *testing.B) {
		var late []time.Duration
		ended := make(chan struct{})
		due := exact.Now() + every
		task := exact.NewTask(func(now int64) int64 {
			late = append(late, time.Duration(now-due))
			if due += every; len(late) < b.N {
				return due
			}
			close(ended)
			return 0
		})
		defer task.Stop()
		task.At(due)
		<-ended
		report(b, late)
	})
	b.Run("alarm", func(b *testing.B) {
		alarm := exact.NewAlarm()
		defer alarm.Stop()
		var late []time.Duration
		for due := exact.Now(); len(late) < b.N; {
			due += every
			alarm.At(due)
			for exact.Now() < due {
				<-alarm.C
			}
			late = append(late, time.Duration(exact.Now()-due))
		}
		report(b, late)
	})
	b.Run("runtime timer", func(b *testing.B) {
		timer := time.NewTimer(time.Hour)
		var late []time.Duration
		for due := time.Now(); len(late) < b.N; {
			due = due.Add(time.Duration(every))
			timer.Reset(time.Until(due))
			<-timer.C
			late = append(late, time.Since(due))
		}
		report(b, late)
	})
}

func report(b *testing.B, late []time.Duration) {
	b.Helper()
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(late[len(late)-1].Microseconds()), "max-µs")
}
