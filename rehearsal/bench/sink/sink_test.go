package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testName = "smtp-relay.gmail.com"

// startSink runs a sink on loopback and returns it, its address and what a client needs to trust it.
func startSink(t *testing.T) (*sink, string, *tls.Config) {
	t.Helper()
	directory := t.TempDir()
	if err := makeCertificates(directory, testName); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(directory, "certificate.pem"), filepath.Join(directory, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(directory, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("ca.pem holds no certificate")
	}
	server := &sink{
		name:     testName,
		tls:      &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		counters: &counters{},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() { _ = server.serve(listener) }()
	client := &tls.Config{ServerName: testName, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	return server, listener.Addr().String(), client
}

func dial(t *testing.T, address string) *smtp.Client {
	t.Helper()
	client, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func send(t *testing.T, client *smtp.Client, recipients []string, body string) {
	t.Helper()
	if err := client.Mail("app@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, recipient := range recipients {
		if err := client.Rcpt(recipient); err != nil {
			t.Fatal(err)
		}
	}
	data, err := client.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := data.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCountsMessagesRecipientsAndHandshakes(t *testing.T) {
	server, address, trust := startSink(t)
	// A line of one dot and a line longer than the read buffer must not end or split the message.
	body := "Subject: x\r\n\r\n.\r\n" + strings.Repeat("y", 40<<10) + "\r\n.z\r\n"
	for connection := 0; connection < 2; connection++ {
		client := dial(t, address)
		if err := client.StartTLS(trust); err != nil {
			t.Fatal(err)
		}
		send(t, client, []string{"a@example.net", "b@example.net"}, body)
		send(t, client, []string{"c@example.net"}, body)
		if err := client.Quit(); err != nil {
			t.Fatal(err)
		}
	}
	seen := server.counters.read(0)
	if seen.Mails != 4 || seen.Recipients != 6 || seen.Connections != 2 || seen.ConnectionsWithMail != 2 {
		t.Errorf("4 mails, 6 recipients on 2 connections were sent, counted %+v", seen)
	}
	if seen.FullHandshakes != 1 || seen.ResumedHandshakes != 1 {
		t.Errorf("1 full and 1 resumed handshake expected, counted %+v", seen)
	}
	if seen.MaxMessagesPerConnection != 2 || seen.FirstMessageNS > seen.LastMessageNS || seen.FirstMessageNS == 0 {
		t.Errorf("2 messages per connection and ordered times expected, counted %+v", seen)
	}
	if seen.SmallestRTTMicroseconds <= 0 || seen.SmallestRTTMicroseconds > int(time.Second/time.Microsecond) {
		t.Errorf("no plausible round trip: %d µs", seen.SmallestRTTMicroseconds)
	}
	if after := server.counters.read(seen.LastMessageNS); after.MailsAfter != 0 {
		t.Errorf("no mail came after the last one, counted %d", after.MailsAfter)
	}
}

func TestRefusesMailWithoutTLS(t *testing.T) {
	server, address, _ := startSink(t)
	client := dial(t, address)
	err := client.Mail("app@example.com")
	if err == nil || !strings.HasPrefix(err.Error(), "530") {
		t.Errorf("MAIL in clear text must be refused with 530, got %v", err)
	}
	if seen := server.counters.read(0); seen.Mails != 0 {
		t.Errorf("counted %d mails", seen.Mails)
	}
}

func TestResetStartsConnectionsThatStayOpenAtZero(t *testing.T) {
	server, address, trust := startSink(t)
	client := dial(t, address)
	if err := client.StartTLS(trust); err != nil {
		t.Fatal(err)
	}
	send(t, client, []string{"a@example.net"}, "one\r\n")
	send(t, client, []string{"a@example.net"}, "two\r\n")
	server.counters.reset()
	send(t, client, []string{"a@example.net"}, "three\r\n")
	seen := server.counters.read(0)
	if seen.Mails != 1 || seen.MaxMessagesPerConnection != 1 || seen.ConnectionsWithMail != 1 {
		t.Errorf("one mail on one connection since the reset, counted %+v", seen)
	}
	if seen.Connections != 0 || seen.PeakOpenConnections != 1 || seen.FullHandshakes != 0 {
		t.Errorf("the open connection is no new one but counts for the peak, counted %+v", seen)
	}
}

func question(name string, kind uint16) []byte {
	packet := []byte{0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range strings.Split(name, ".") {
		packet = append(append(packet, byte(len(label))), label...)
	}
	packet = binary.BigEndian.AppendUint16(append(packet, 0), kind)
	return binary.BigEndian.AppendUint16(packet, dnsClassIN)
}

func TestAnswersDependOnTheClient(t *testing.T) {
	names := &resolver{name: testName}
	if err := names.set(map[string]string{"": "192.0.2.1", "192.0.2.9": "192.0.2.2"}); err != nil {
		t.Fatal(err)
	}
	for client, expected := range map[string]byte{"192.0.2.8": 1, "192.0.2.9": 2} {
		reply := names.reply(question("SMTP-relay.gmail.com", dnsTypeA), net.ParseIP(client).To4())
		if reply[3]&0x0f != dnsNoError || reply[7] != 1 || reply[len(reply)-1] != expected {
			t.Errorf("client %s: reply % x, want an A record ending in %d", client, reply, expected)
		}
	}
}

func TestOtherTypesAreEmptyAndOtherNamesUnknown(t *testing.T) {
	const typeAAAA = 28
	names := &resolver{name: testName}
	if err := names.set(map[string]string{"": "192.0.2.1"}); err != nil {
		t.Fatal(err)
	}
	client := net.IPv4(192, 0, 2, 8)
	if reply := names.reply(question(testName, typeAAAA), client); reply[3]&0x0f != dnsNoError || reply[7] != 0 {
		t.Errorf("AAAA: reply % x, want no error and no answer", reply)
	}
	if reply := names.reply(question("example.com", dnsTypeA), client); reply[3]&0x0f != dnsNameError {
		t.Errorf("other name: reply % x, want a name error", reply)
	}
	if reply := names.reply([]byte{1, 2, 3}, client); reply != nil {
		t.Errorf("garbage got the reply % x", reply)
	}
	if names.set(map[string]string{"": "not an address"}) == nil {
		t.Error("an answer that is no address was accepted")
	}
}
