// Command sink is the upstream of the throughput bench: an SMTP server with STARTTLS that throws mail
// away and counts it, a DNS responder for its own name, and an HTTP port to read and reset the counters.
//
//	sink -certificate certificate.pem -key key.pem [-name smtp-relay.gmail.com] [-smtp :587] [-dns :53] [-control :8025]
//	sink -make-certificates DIRECTORY [-name smtp-relay.gmail.com]
//
// It is a measuring device, not a stand-in for Google: it applies no policy and refuses nothing but
// mail without TLS.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	name := flag.String("name", "smtp-relay.gmail.com", "host name of the sink, in banner, certificate and DNS")
	certificate := flag.String("certificate", "", "PEM file with the certificate chain")
	key := flag.String("key", "", "PEM file with the private key")
	smtpAddress := flag.String("smtp", ":587", "address of the SMTP listener")
	dnsAddress := flag.String("dns", ":53", "address of the DNS responder, empty for none")
	controlAddress := flag.String("control", ":8025", "address of the HTTP control port")
	directory := flag.String("make-certificates", "", "write a CA and a certificate here and exit")
	flag.Parse()

	var err error
	if *directory != "" {
		err = makeCertificates(*directory, *name)
	} else {
		err = run(*name, *certificate, *key, *smtpAddress, *dnsAddress, *controlAddress)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sink:", err)
		os.Exit(1)
	}
}

func run(name, certificate, key, smtpAddress, dnsAddress, controlAddress string) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("certificate %q and key %q: %w", certificate, key, err)
	}
	counted := &counters{}
	names := &resolver{name: name}
	upstream := &sink{
		name:     name,
		tls:      &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		counters: counted,
	}

	smtpListener, err := net.Listen("tcp", smtpAddress)
	if err != nil {
		return err
	}
	controlListener, err := net.Listen("tcp", controlAddress)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	if dnsAddress != "" {
		address, err := net.ResolveUDPAddr("udp4", dnsAddress)
		if err != nil {
			return err
		}
		conn, err := net.ListenUDP("udp4", address)
		if err != nil {
			return err
		}
		go func() { failed <- names.serve(conn) }()
	}
	server := &http.Server{Handler: control(counted, names), ReadHeaderTimeout: 5 * time.Second}
	go func() { failed <- server.Serve(controlListener) }()
	go func() { failed <- upstream.serve(smtpListener) }()
	return <-failed
}
