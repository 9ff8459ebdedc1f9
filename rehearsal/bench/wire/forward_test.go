package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// pair returns two connected datagram sockets: one stands for a TUN device, the other for its network.
func pair(t *testing.T) (int, int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Close(fds[0])
		_ = syscall.Close(fds[1])
	})
	return fds[0], fds[1]
}

func receive(t *testing.T, fd int) byte {
	t.Helper()
	buffer := make([]byte, mtuBytes)
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
		if size, err := syscall.Read(fd, buffer); err == nil && size == 1 {
			return buffer[0]
		}
	}
	t.Fatal("no packet came through")
	return 0
}

func TestHoldsEveryPacketForTheDelayAndKeepsTheOrder(t *testing.T) {
	const delay = 30 * time.Millisecond
	deviceA, networkA := pair(t)
	deviceB, networkB := pair(t)
	stopReader, stopWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stopReader.Close() }()
	ended := make(chan error, 1)
	go func() { ended <- forward(deviceA, deviceB, int(stopReader.Fd()), delay) }()

	started := time.Now()
	for value := byte(0); value < 20; value++ {
		if _, err := syscall.Write(networkA, []byte{value}); err != nil {
			t.Fatal(err)
		}
	}
	for value := byte(0); value < 20; value++ {
		if got := receive(t, networkB); got != value {
			t.Fatalf("packet %d came where %d was due", got, value)
		}
		if passed := time.Since(started); passed < delay {
			t.Fatalf("packet %d came after %s, before the delay of %s", value, passed, delay)
		}
	}
	if _, err := syscall.Write(networkB, []byte{99}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, networkA); got != 99 {
		t.Fatalf("the way back delivered %d", got)
	}
	_ = stopWriter.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
