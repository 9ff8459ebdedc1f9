package main

import (
	"net"
	"syscall"
	"unsafe"
)

// handshakeRTT returns the kernel's estimate of the round trip in microseconds, 0 when there is none.
// On a fresh connection that is the time from SYN-ACK to ACK: proof of the delay that a run had.
func handshakeRTT(conn net.Conn) uint32 {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var info syscall.TCPInfo
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno = syscall.Syscall6(
			syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0,
		)
	})
	if err != nil || errno != 0 {
		return 0
	}
	return info.Rtt
}
