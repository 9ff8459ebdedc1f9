// Command wire is a network link with a round-trip time: one TUN device in each of two network
// namespaces, and packets carried between them half the round-trip time later. It stands where a
// kernel would have netem, and delays every packet: TCP handshake, TLS and SMTP alike.
//
//	wire -a PID -a-address 10.97.1.1 -b PID -b-address 10.97.1.2 -rtt 20ms [-device bench1]
//
// PID is any process in the namespace, for a container its init as the host counts. The command prints
// "ready" once packets flow, and takes the link away when its standard input ends, so no link outlives
// the harness. It needs root on the host, /dev/net/tun, and Linux.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// mtuBytes is Ethernet's: a larger one would make fewer packets of a message than a real path does.
const mtuBytes = 1500

func main() {
	pidA := flag.Int("a", 0, "process in the first network namespace")
	pidB := flag.Int("b", 0, "process in the second network namespace")
	addressA := flag.String("a-address", "", "IPv4 address of the first end")
	addressB := flag.String("b-address", "", "IPv4 address of the second end")
	device := flag.String("device", "bench0", "name of the device in both namespaces")
	rtt := flag.Duration("rtt", 20*time.Millisecond, "round-trip time; each packet is held for half of it")
	flag.Parse()

	if err := run(*device, *pidA, *pidB, *addressA, *addressB, *rtt); err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func run(device string, pidA, pidB int, addressA, addressB string, rtt time.Duration) error {
	ipA, ipB := net.ParseIP(addressA).To4(), net.ParseIP(addressB).To4()
	if ipA == nil || ipB == nil {
		return fmt.Errorf("-a-address %q and -b-address %q must be IPv4 addresses", addressA, addressB)
	}
	if rtt < 0 {
		return fmt.Errorf("-rtt is %s, must not be negative", rtt)
	}
	a, err := openTunnel(device, pidA, ipA, ipB)
	if err != nil {
		return fmt.Errorf("first end (pid %d): %w", pidA, err)
	}
	b, err := openTunnel(device, pidB, ipB, ipA)
	if err != nil {
		return fmt.Errorf("second end (pid %d): %w", pidB, err)
	}
	fmt.Println("ready")
	return forward(a, b, syscall.Stdin, rtt/2)
}
