package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
)

// DNS constants of RFC 1035 sections 3.2 and 4.1.1.
const (
	dnsHeaderBytes = 12
	dnsTypeA       = 1
	dnsClassIN     = 1
	dnsNoError     = 0
	dnsFormatError = 1
	dnsNameError   = 3
	// dnsTTLSeconds is 0 because the harness moves the name between two addresses during a run.
	dnsTTLSeconds = 0
)

// resolver answers A questions for one name, with an address that depends on who asks: each relay
// reaches the sink over its own link.
type resolver struct {
	name string

	mu      sync.RWMutex
	answers map[string]net.IP
}

// set replaces the table {client address: A record}. The key "" is the answer for other clients.
func (r *resolver) set(table map[string]string) error {
	answers := make(map[string]net.IP, len(table))
	for client, text := range table {
		address := net.ParseIP(text).To4()
		if address == nil {
			return fmt.Errorf("answer for client %q is %q, which is no IPv4 address", client, text)
		}
		answers[client] = address
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = answers
	return nil
}

func (r *resolver) lookup(client net.IP) net.IP {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if address, ok := r.answers[client.String()]; ok {
		return address
	}
	return r.answers[""]
}

func (r *resolver) serve(conn *net.UDPConn) error {
	packet := make([]byte, 1500)
	for {
		n, client, err := conn.ReadFromUDP(packet)
		if err != nil {
			return err
		}
		if reply := r.reply(packet[:n], client.IP); reply != nil {
			_, _ = conn.WriteToUDP(reply, client)
		}
	}
}

// reply returns the answer to one question, or nil when the packet is not a query.
func (r *resolver) reply(query []byte, client net.IP) []byte {
	if len(query) < dnsHeaderBytes || query[2]&0x80 != 0 {
		return nil
	}
	name, end := questionName(query)
	if end < 0 || binary.BigEndian.Uint16(query[4:6]) != 1 {
		return header(query, dnsFormatError, 0, 0)
	}
	question := query[dnsHeaderBytes : end+4]
	if !strings.EqualFold(name, r.name) {
		return append(header(query, dnsNameError, 1, 0), question...)
	}
	address := r.lookup(client)
	kind := binary.BigEndian.Uint16(query[end : end+2])
	if kind != dnsTypeA || address == nil {
		// The name exists but has no record of this type (AAAA, MX, HTTPS …).
		return append(header(query, dnsNoError, 1, 0), question...)
	}
	reply := append(header(query, dnsNoError, 1, 1), question...)
	reply = append(reply, 0xc0, dnsHeaderBytes, 0, dnsTypeA, 0, dnsClassIN, 0, 0, 0, dnsTTLSeconds, 0, net.IPv4len)
	return append(reply, address...)
}

// header builds the reply header: same id and opcode, authoritative, recursion available.
func header(query []byte, rcode byte, questions, answers uint16) []byte {
	reply := make([]byte, dnsHeaderBytes, 512)
	copy(reply, query[:2])
	reply[2] = 0x84 | query[2]&0x79
	reply[3] = 0x80 | rcode
	binary.BigEndian.PutUint16(reply[4:6], questions)
	binary.BigEndian.PutUint16(reply[6:8], answers)
	return reply
}

// questionName decodes the name of the first question and returns the offset behind it, or -1 when it
// is malformed or not followed by type and class.
func questionName(packet []byte) (string, int) {
	var labels []string
	at := dnsHeaderBytes
	for at < len(packet) {
		length := int(packet[at])
		at++
		if length == 0 {
			if at+4 > len(packet) {
				return "", -1
			}
			return strings.Join(labels, "."), at
		}
		if length > 63 || at+length > len(packet) {
			return "", -1
		}
		labels = append(labels, string(packet[at:at+length]))
		at += length
	}
	return "", -1
}
