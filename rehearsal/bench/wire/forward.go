package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

const (
	// queuePackets is the first size of a queue: it grows on demand, so nothing is lost in the link.
	queuePackets = 1024

	// Events of poll(2), the same numbers on every Linux architecture.
	pollIn       = 0x0001
	pollErr      = 0x0008
	pollHangUp   = 0x0010
	pollNotOpen  = 0x0020
	pollFinished = pollErr | pollHangUp | pollNotOpen
)

// pollDescriptor is struct pollfd.
type pollDescriptor struct {
	fd      int32
	events  int16
	revents int16
}

// packet is one IP packet and the time at which it leaves the other end. Times are read from one
// monotonic clock, so a step of the wall clock moves nothing.
type packet struct {
	due  time.Time
	size int
	data [mtuBytes]byte
}

// lane carries packets one way. The delay is the same for all, so first in, first out is deadline order.
type lane struct {
	from, to int
	queue    []*packet
	free     []*packet
}

// forward carries packets between two devices, each after delay, until stop is readable or closed.
// One thread does it all and sleeps in ppoll(2), whose time-out counts in nanoseconds: Go's own timers
// round to a millisecond, which is 10 % of the usual delay. Each packet is timed by itself: reading in
// batches, twice a millisecond, saved no CPU (it goes into the kernel's TCP code behind each write) and
// let packets through too early on a busy machine.
func forward(a, b, stop int, delay time.Duration) error {
	lanes := []*lane{newLane(a, b), newLane(b, a)}
	watched := []pollDescriptor{
		{fd: int32(a), events: pollIn},
		{fd: int32(b), events: pollIn},
		{fd: int32(stop), events: pollIn},
	}
	for {
		if err := poll(watched, nextDue(lanes)); err != nil {
			return err
		}
		if watched[2].revents != 0 {
			return nil
		}
		for index, lane := range lanes {
			if watched[index].revents&pollFinished != 0 {
				return fmt.Errorf("device of end %d went away", index+1)
			}
			if watched[index].revents&pollIn != 0 {
				if err := lane.take(delay); err != nil {
					return err
				}
			}
			lane.deliver(time.Now())
		}
	}
}

func newLane(from, to int) *lane {
	return &lane{from: from, to: to, queue: make([]*packet, 0, queuePackets)}
}

// take reads one packet; ppoll says so when there is another.
func (l *lane) take(delay time.Duration) error {
	p := l.buffer()
	size, errno := transfer(syscall.SYS_READ, l.from, p.data[:])
	if errno != 0 {
		l.free = append(l.free, p)
		if errno == syscall.EAGAIN || errno == syscall.EINTR {
			return nil
		}
		return fmt.Errorf("read packet: %w", errno)
	}
	p.size, p.due = size, time.Now().Add(delay)
	l.queue = append(l.queue, p)
	return nil
}

// deliver writes the packets whose time has come. A write is refused while the other device is full or
// goes away: the packet is lost then, as on a real link.
func (l *lane) deliver(now time.Time) {
	sent := 0
	for sent < len(l.queue) && !l.queue[sent].due.After(now) {
		p := l.queue[sent]
		_, _ = transfer(syscall.SYS_WRITE, l.to, p.data[:p.size])
		l.free = append(l.free, p)
		sent++
	}
	if sent > 0 {
		l.queue = l.queue[:copy(l.queue, l.queue[sent:])]
	}
}

// transfer is read(2) or write(2) on a descriptor that never blocks, without telling Go's scheduler.
func transfer(call uintptr, fd int, data []byte) (int, syscall.Errno) {
	size, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	return int(size), errno
}

func (l *lane) buffer() *packet {
	if last := len(l.free) - 1; last >= 0 {
		p := l.free[last]
		l.free = l.free[:last]
		return p
	}
	return new(packet)
}

// nextDue is the time to the next delivery, nil when nothing is under way.
func nextDue(lanes []*lane) *time.Duration {
	var next *time.Duration
	for _, lane := range lanes {
		if len(lane.queue) == 0 {
			continue
		}
		left := time.Until(lane.queue[0].due)
		if left < 0 {
			left = 0
		}
		if next == nil || left < *next {
			next = &left
		}
	}
	return next
}

// poll waits for an event or the time-out; nil waits for ever.
func poll(watched []pollDescriptor, timeout *time.Duration) error {
	var span *syscall.Timespec
	if timeout != nil {
		value := syscall.NsecToTimespec(timeout.Nanoseconds())
		span = &value
	}
	for index := range watched {
		watched[index].revents = 0
	}
	_, _, errno := syscall.Syscall6(
		syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&watched[0])), uintptr(len(watched)),
		uintptr(unsafe.Pointer(span)), 0, 0, 0,
	)
	if errno != 0 && errno != syscall.EINTR {
		return fmt.Errorf("ppoll: %w", errno)
	}
	return nil
}
