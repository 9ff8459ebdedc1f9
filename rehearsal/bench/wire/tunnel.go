package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Numbers of linux/if_tun.h and linux/sched.h that package syscall lacks. TUNSETIFF is the same on
// every architecture named in setnsNumber.
const (
	tunSetInterface  = 0x400454ca
	tunMode          = 0x0001
	tunNoPacketInfo  = 0x1000
	cloneNewNet      = 0x40000000
	queueLengthIoctl = 0x8943 // SIOCSIFTXQLEN
)

// transmitQueuePackets replaces TUN's default of 500, which a burst of 100 connections can overrun.
const transmitQueuePackets = 5000

// setnsNumber is the system call number of setns(2).
var setnsNumber = map[string]uintptr{"amd64": 308, "arm64": 268}

// interfaceRequest is struct ifreq: a device name and 24 bytes whose meaning depends on the call.
type interfaceRequest struct {
	name [syscall.IFNAMSIZ]byte
	data [24]byte
}

// openTunnel makes a point-to-point TUN device in the network namespace of process pid and returns its
// file descriptor. The device goes away with the descriptor.
func openTunnel(device string, pid int, local, peer net.IP) (int, error) {
	if device == "" || len(device) >= syscall.IFNAMSIZ {
		return -1, fmt.Errorf("-device is %q, must have 1 to %d characters", device, syscall.IFNAMSIZ-1)
	}
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
	go func() {
		// setns changes one thread. The thread is not unlocked, so Go ends it with the goroutine and no
		// other code ever runs in the foreign namespace.
		runtime.LockOSThread()
		fd, err := openTunnelHere(device, pid, local, peer)
		done <- result{fd, err}
	}()
	r := <-done
	return r.fd, r.err
}

func openTunnelHere(device string, pid int, local, peer net.IP) (int, error) {
	if err := enterNetwork(pid); err != nil {
		return -1, err
	}
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun (needs root and the kernel's tun module): %w", err)
	}
	if err := configure(fd, device, local, peer); err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

func enterNetwork(pid int) error {
	number, ok := setnsNumber[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no setns number known for %s", runtime.GOARCH)
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer func() { _ = namespace.Close() }()
	if _, _, errno := syscall.RawSyscall(number, namespace.Fd(), cloneNewNet, 0); errno != 0 {
		return fmt.Errorf("setns to the network of pid %d (needs root): %w", pid, errno)
	}
	return nil
}

func configure(fd int, device string, local, peer net.IP) error {
	control, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = syscall.Close(control) }()
	steps := []struct {
		what   string
		fd     int
		number uintptr
		data   []byte
	}{
		{"create TUN device", fd, tunSetInterface, short(tunMode | tunNoPacketInfo)},
		{"set address", control, syscall.SIOCSIFADDR, socketAddress(local)},
		{"set peer address", control, syscall.SIOCSIFDSTADDR, socketAddress(peer)},
		{"set netmask", control, syscall.SIOCSIFNETMASK, socketAddress(net.IPv4bcast.To4())},
		{"set MTU", control, syscall.SIOCSIFMTU, word(mtuBytes)},
		{"set queue length", control, queueLengthIoctl, word(transmitQueuePackets)},
		{"set up", control, syscall.SIOCSIFFLAGS, short(syscall.IFF_UP | syscall.IFF_RUNNING)},
	}
	for _, step := range steps {
		request := interfaceRequest{}
		copy(request.name[:], device)
		copy(request.data[:], step.data)
		pointer := unsafe.Pointer(&request)
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(step.fd), step.number, uintptr(pointer)); errno != 0 {
			return fmt.Errorf("device %s: %s: %w", device, step.what, errno)
		}
	}
	return nil
}

// short, word and socketAddress lay out the data of an ifreq. All the architectures are little-endian.
func short(value uint16) []byte {
	return binary.LittleEndian.AppendUint16(nil, value)
}

func word(value uint32) []byte {
	return binary.LittleEndian.AppendUint32(nil, value)
}

func socketAddress(ip net.IP) []byte {
	return append(append(short(syscall.AF_INET), 0, 0), ip...)
}
