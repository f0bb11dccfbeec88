package fault

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The code that takes the place of the vDSO's functions: each makes the system
// call and adds the offset to the seconds of the wall clock. It lies behind the
// end of the vDSO's code, in the rest of its last page, and the offset before
// it. It is never taken away again, as a thread may be in it: a step back sets
// the offset to 0 and gives the functions their own beginnings back.
const (
	offsetSize = 8
	codeAlign  = 16
	jumpSize   = 5
)

// stub is what takes the place of one function. at is where in code the four
// bytes are that say how far behind them the offset lies.
type stub struct {
	symbol string
	code   []byte
	at     int
}

var stubs = []stub{
	{symbol: "__vdso_clock_gettime", at: 23, code: []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, 228: clock_gettime(edi, rsi)
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x75, 0x13, // jnz ret
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME
		0x74, 0x05, // jz add
		0x83, 0xff, 0x05, // cmp edi, 5: CLOCK_REALTIME_COARSE
		0x75, 0x0a, // jne ret
		0x48, 0x8b, 0x15, 0, 0, 0, 0, // add: mov rdx, [offset]
		0x48, 0x01, 0x16, // add [rsi], rdx
		0xc3, // ret
	}},
	{symbol: "__vdso_gettimeofday", at: 19, code: []byte{
		0xb8, 0x60, 0, 0, 0, // mov eax, 96: gettimeofday(rdi, rsi)
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x75, 0x0f, // jnz ret
		0x48, 0x85, 0xff, // test rdi, rdi
		0x74, 0x0a, // jz ret
		0x48, 0x8b, 0x15, 0, 0, 0, 0, // mov rdx, [offset]
		0x48, 0x01, 0x17, // add [rdi], rdx
		0xc3, // ret
	}},
	{symbol: "__vdso_time", at: 10, code: []byte{
		0xb8, 0xc9, 0, 0, 0, // mov eax, 201: time(rdi)
		0x0f, 0x05, // syscall
		0x48, 0x8b, 0x15, 0, 0, 0, 0, // mov rdx, [offset]
		0x48, 0x01, 0xd0, // add rax, rdx
		0x48, 0x85, 0xff, // test rdi, rdi
		0x74, 0x03, // jz ret
		0x48, 0x89, 0x07, // mov [rdi], rax
		0xc3, // ret
	}},
}

// stepClock lets the wall clock of a process be off by seconds; 0 ends it.
func stepClock(pid int, seconds int64) error {
	v, err := openVDSO(pid)
	if err != nil {
		return err
	}
	defer func() { _ = v.mem.Close() }()
	return standStill(pid, func() (again bool, err error) {
		busy, err := v.inUse(pid)
		if busy || err != nil {
			return busy, err
		}
		return false, v.step(seconds)
	})
}

// tryOn is a program that says what it is told until its standard input ends.
const tryOn = "cat"

// tryClock does to a child of this program what will be done to the system under
// test, which is one too: it stands still, its clock goes an hour ahead and back.
// What this program may do to itself says nothing of others: ptrace_scope of Yama
// keeps a process from its children as well.
func tryClock() error {
	child := exec.CommandContext(context.Background(), tryOn)
	hold, err := child.StdinPipe()
	if err != nil {
		return fmt.Errorf("%w: no process to try it on: %w", ErrUnavailable, err)
	}
	said, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		return fmt.Errorf("%w: no process to try it on: %w", ErrUnavailable, err)
	}
	defer func() { _ = hold.Close(); _ = child.Process.Kill(); _ = child.Wait() }()
	// Start returns while the kernel still makes the process: it has no vDSO before it runs.
	if _, err := hold.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("%w: the process to try it on: %w", ErrUnavailable, err)
	}
	if _, err := said.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("%w: the process to try it on says nothing: %w", ErrUnavailable, err)
	}
	for _, seconds := range []int64{3600, 0} {
		if err := stepClock(child.Process.Pid, seconds); err != nil {
			return fmt.Errorf("clock of a child of this program: %w", err)
		}
	}
	return nil
}

// vdso is the image of the vDSO in the memory of a process.
type vdso struct {
	mem    *os.File
	base   uint64
	image  []byte
	block  []byte   // offset and code as they are to lie in the image
	at     int      // of block, in the image
	starts []uint64 // of the functions, in the image
	jumps  [][]byte // what is to lie there
}

func openVDSO(pid int) (v *vdso, err error) {
	base, end, err := findVDSO(pid)
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; the harness needs the rights of a debugger over it", ErrUnavailable, err)
	}
	defer func() {
		if err != nil {
			_ = mem.Close()
		}
	}()
	v = &vdso{mem: mem, base: base, image: make([]byte, end-base)}
	if _, err := mem.ReadAt(v.image, int64(base)); err != nil {
		return nil, fmt.Errorf("%w: read its vDSO: %w", ErrUnavailable, err)
	}
	if err := v.plan(); err != nil {
		return nil, err
	}
	return v, nil
}

// findVDSO returns where the vDSO of a process lies.
func findVDSO(pid int) (base, end uint64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil || end <= base || end-base > 1<<20 {
			return 0, 0, fmt.Errorf("%w: its memory map says %q", ErrUnavailable, line)
		}
		return base, end, nil
	}
	return 0, 0, fmt.Errorf("%w: it has no vDSO", ErrUnavailable)
}

// plan finds the functions and a place for the code.
func (v *vdso) plan() error {
	starts, err := functions(v.image)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	v.block = make([]byte, offsetSize)
	var places []int
	for _, s := range stubs {
		place := len(v.block)
		v.block = append(v.block, s.code...)
		binary.LittleEndian.PutUint32(v.block[place+s.at:], uint32(-(place + s.at + 4)))
		places = append(places, place)
	}
	for len(v.block)%codeAlign != 0 {
		v.block = append(v.block, 0xcc)
	}
	v.at = len(v.image) - len(v.block)
	there := v.image[v.at+offsetSize:]
	if free := bytes.Count(v.image[v.at:], []byte{0}) == len(v.block); !free && !bytes.Equal(there, v.block[offsetSize:]) {
		return fmt.Errorf("%w: its vDSO has no room behind its code", ErrUnavailable)
	}
	for i, start := range starts {
		distance := int64(v.at+places[i]) - int64(start+jumpSize)
		v.starts = append(v.starts, start)
		v.jumps = append(v.jumps, binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(int32(distance)))) // jmp
	}
	return nil
}

// functions returns where those of stubs begin in the image.
func functions(image []byte) ([]uint64, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("its vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("symbols of its vDSO: %w", err)
	}
	var out []uint64
	for _, s := range stubs {
		for _, symbol := range symbols {
			if symbol.Name == s.symbol && symbol.Size >= jumpSize && symbol.Value+jumpSize <= uint64(len(image)) {
				out = append(out, symbol.Value)
				break
			}
		}
	}
	if len(out) != len(stubs) {
		return nil, errors.New("its vDSO lacks functions that read the clock")
	}
	return out, nil
}

// step writes code, offset and jumps; without an offset, the beginnings that
// the functions have in our own vDSO, which is the same one.
func (v *vdso) step(seconds int64) error {
	binary.LittleEndian.PutUint64(v.block, uint64(seconds))
	if err := v.put(v.at, v.block); err != nil {
		return err
	}
	own, err := ownVDSO()
	if err != nil {
		return err
	}
	if len(own) != len(v.image) {
		return fmt.Errorf("%w: its vDSO is not the one of this program", ErrUnavailable)
	}
	for i, start := range v.starts {
		beginning := v.jumps[i]
		if seconds == 0 {
			beginning = own[start : start+jumpSize]
		}
		if err := v.put(int(start), beginning); err != nil {
			return err
		}
	}
	return nil
}

func (v *vdso) put(at int, data []byte) error {
	if _, err := v.mem.WriteAt(data, int64(v.base)+int64(at)); err != nil {
		return fmt.Errorf("%w: the kernel lets nobody change its vDSO: %w", ErrUnavailable, err)
	}
	return nil
}

// ownVDSO returns the image of this process, which nobody changes.
func ownVDSO() ([]byte, error) {
	base, end, err := findVDSO(os.Getpid())
	if err != nil {
		return nil, err
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	defer func() { _ = mem.Close() }()
	image := make([]byte, end-base)
	_, err = mem.ReadAt(image, int64(base))
	return image, err
}

// inUse reports whether a thread of the process, which stands still, is within
// the bytes that are to be changed.
func (v *vdso) inUse(pid int) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil || len(tasks) == 0 {
		return false, os.ErrProcessDone
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return false, fmt.Errorf("%w: where its threads are cannot be read: %w", ErrUnavailable, err)
		}
		fields := strings.Fields(string(text))
		if len(fields) < 3 {
			return false, fmt.Errorf("%w: where its threads are cannot be read out of %q", ErrUnavailable, text)
		}
		at, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64) // proc_pid_syscall(5)
		if err != nil {
			return false, fmt.Errorf("%w: where its threads are cannot be read: %w", ErrUnavailable, err)
		}
		for _, start := range v.starts {
			if at > v.base+start && at < v.base+start+jumpSize {
				return true, nil
			}
		}
	}
	return false, nil
}
