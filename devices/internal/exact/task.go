package exact

import (
	"container/heap"
	"context"
	"sync"
)

// Task is something that is done at instants, one call after another.
type Task struct {
	do   func(now int64) (next int64)
	on   *pacer
	stop sync.Once

	due   int64 // 0 = none; owned by on.mu, as is all that follows
	index int   // in the queue, -1 outside
	ended bool
}

// NewTask prepares a task. Do is given Now() and returns when it wants to be called
// again, 0 for not before At says so. It is called on the thread that all tasks
// share: it must neither block nor prepare or stop a task. Stop ends the task.
func NewTask(do func(now int64) (next int64)) *Task {
	return &Task{do: do, on: join(), index: -1}
}

// At has the task done at an instant of Now(), or before. It never blocks, and does
// nothing for t 0 or after Stop.
func (t *Task) At(due int64) {
	if due <= 0 {
		return
	}
	p := t.on
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.ended || t.due != 0 && t.due <= due {
		return
	}
	t.due = due
	if p.running == t {
		return // it is queued when it is done
	}
	p.enqueue(t)
	if t.index == 0 {
		p.bell.set(due)
	}
}

// Stop ends the task and waits until it is not being done. It is idempotent.
func (t *Task) Stop() {
	t.stop.Do(func() {
		p := t.on
		p.mu.Lock()
		t.ended = true
		if t.index >= 0 {
			heap.Remove(&p.queue, t.index)
		}
		for p.running == t {
			p.done.Wait()
		}
		p.mu.Unlock()
		leave()
	})
}

// Alarm wakes a goroutine.
type Alarm struct {
	C    <-chan struct{} // holds one thing when an instant has come
	task *Task
}

// NewAlarm prepares an alarm; Stop ends it.
func NewAlarm() *Alarm {
	c := make(chan struct{}, 1)
	return &Alarm{C: c, task: NewTask(func(int64) int64 {
		select {
		case c <- struct{}{}:
		default: // it has not been looked at since
		}
		return 0
	})}
}

// At has C hold something at an instant of Now(), or before: whoever waits looks at
// the time.
func (a *Alarm) At(due int64) { a.task.At(max(due, 1)) }

// Wait blocks until an instant of Now() has come; when ctx ends before, or has ended,
// it returns ctx's error. One goroutine may wait at a time.
func (a *Alarm) Wait(ctx context.Context, due int64) error {
	for Now() < due {
		a.At(due)
		select {
		case <-a.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// Stop ends the alarm. It is idempotent.
func (a *Alarm) Stop() { a.task.Stop() }

// shared is the thread of all tasks.
var shared struct {
	mu    sync.Mutex
	tasks int
	pacer *pacer // nil without tasks
}

// join counts one task more, and starts the thread for the first.
func join() *pacer {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.tasks == 0 {
		shared.pacer = newPacer()
	}
	shared.tasks++
	return shared.pacer
}

// leave counts one task less, and waits for the end of the thread after the last.
func leave() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.tasks--; shared.tasks == 0 {
		shared.pacer.close()
		shared.pacer = nil
	}
}

// pacer does tasks in the order of their instants.
type pacer struct {
	bell   bell
	thread sync.WaitGroup

	mu      sync.Mutex // guards what follows, and is held while the bell is set
	done    *sync.Cond // running has changed
	queue   queue
	running *Task
	closed  bool
}

func newPacer() *pacer {
	p := &pacer{bell: newBell()}
	p.done = sync.NewCond(&p.mu)
	p.thread.Go(p.run)
	return p
}

func (p *pacer) close() {
	p.mu.Lock()
	p.closed = true
	p.bell.set(1)
	p.mu.Unlock()
	p.thread.Wait()
	p.bell.close()
}

// enqueue puts a task where its instant belongs. The caller holds mu.
func (p *pacer) enqueue(t *Task) {
	if t.index >= 0 {
		heap.Fix(&p.queue, t.index)
		return
	}
	heap.Push(&p.queue, t)
}

// run is the thread: a goroutine that keeps one busy or waiting in the kernel. It is
// not locked to it, because a locked one has to wait for its thread as well when
// it has to wait for a processor.
func (p *pacer) run() {
	for p.doDue() {
		p.bell.wait()
	}
}

// doDue does what is due and sets the bell for the rest; false when the pacer is closed.
func (p *pacer) doDue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		if len(p.queue) == 0 {
			p.bell.set(never)
			return true
		}
		t, now := p.queue[0], Now()
		if t.due > now {
			p.bell.set(t.due)
			return true
		}
		heap.Pop(&p.queue)
		t.due, p.running = 0, t
		p.mu.Unlock()
		next := t.do(now)
		p.mu.Lock()
		if next > 0 && (t.due == 0 || next < t.due) {
			t.due = next
		}
		if t.due != 0 && !t.ended {
			p.enqueue(t)
		}
		p.running = nil
		p.done.Broadcast()
	}
	return false
}

// never is an instant that does not come.
const never = 1<<63 - 1

// queue is a heap of tasks, see container/heap.
type queue []*Task

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	t := x.(*Task) //nolint:forcetypeassert // pushed by enqueue only
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.index = -1
	return t
}
