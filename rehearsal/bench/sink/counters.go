package main

import (
	"sync"
	"time"
)

// counters hold what the sink saw since the last reset. Every field is guarded by mu; the work under
// the lock is a few additions, so 1,000 messages a second cost less than a millisecond of waiting.
type counters struct {
	mu sync.Mutex

	// window numbers the period between two resets. A connection notes the window of its last message,
	// so that one that stays open over a reset starts again at zero messages.
	window int

	mails             int
	recipients        int
	connections       int
	connectionsUsed   int
	openConnections   int
	peakConnections   int
	fullHandshakes    int
	resumedHandshakes int
	failedHandshakes  int
	maxPerConnection  int

	// smallestRTT is the shortest TCP handshake round trip of the window in microseconds, 0 for none.
	smallestRTT uint32

	// arrivals holds the time (Unix nanoseconds) at which each message was accepted, in order.
	arrivals []int64
}

// connectionUse is the share of one connection in the counters.
type connectionUse struct {
	window int
	mails  int
}

// snapshot is the JSON form of the counters. Times are Unix nanoseconds, 0 when there was no message.
type snapshot struct {
	Mails                    int   `json:"mails"`
	Recipients               int   `json:"recipients"`
	Connections              int   `json:"connections"`
	ConnectionsWithMail      int   `json:"connections_with_mail"`
	OpenConnections          int   `json:"open_connections"`
	PeakOpenConnections      int   `json:"peak_open_connections"`
	FullHandshakes           int   `json:"full_handshakes"`
	ResumedHandshakes        int   `json:"resumed_handshakes"`
	FailedHandshakes         int   `json:"failed_handshakes"`
	MaxMessagesPerConnection int   `json:"max_messages_per_connection"`
	SmallestRTTMicroseconds  int   `json:"smallest_rtt_us"`
	FirstMessageNS           int64 `json:"first_message_ns"`
	LastMessageNS            int64 `json:"last_message_ns"`
	// MailsAfter counts messages accepted later than the time asked for with ?after=.
	MailsAfter int `json:"mails_after"`
}

// connectionOpened counts a connection; rtt is its handshake's round trip in microseconds, 0 if unknown.
func (c *counters) connectionOpened(rtt uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rtt > 0 && (c.smallestRTT == 0 || rtt < c.smallestRTT) {
		c.smallestRTT = rtt
	}
	c.connections++
	c.openConnections++
	if c.openConnections > c.peakConnections {
		c.peakConnections = c.openConnections
	}
}

func (c *counters) connectionClosed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openConnections--
}

func (c *counters) handshake(resumed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if resumed {
		c.resumedHandshakes++
	} else {
		c.fullHandshakes++
	}
}

func (c *counters) handshakeFailed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failedHandshakes++
}

func (c *counters) message(use *connectionUse, recipients int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if use.window != c.window {
		*use = connectionUse{window: c.window}
	}
	if use.mails == 0 {
		c.connectionsUsed++
	}
	use.mails++
	if use.mails > c.maxPerConnection {
		c.maxPerConnection = use.mails
	}
	c.mails++
	c.recipients += recipients
	c.arrivals = append(c.arrivals, time.Now().UnixNano())
}

// reset starts a new window. Connections that are open stay open and count towards the new peak.
func (c *counters) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window++
	c.mails, c.recipients = 0, 0
	c.connections, c.connectionsUsed, c.peakConnections = 0, 0, c.openConnections
	c.fullHandshakes, c.resumedHandshakes, c.failedHandshakes = 0, 0, 0
	c.maxPerConnection = 0
	c.smallestRTT = 0
	c.arrivals = c.arrivals[:0]
}

// read returns the counters; after is a time in Unix nanoseconds for MailsAfter.
func (c *counters) read(after int64) snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := snapshot{
		Mails:                    c.mails,
		Recipients:               c.recipients,
		Connections:              c.connections,
		ConnectionsWithMail:      c.connectionsUsed,
		OpenConnections:          c.openConnections,
		PeakOpenConnections:      c.peakConnections,
		FullHandshakes:           c.fullHandshakes,
		ResumedHandshakes:        c.resumedHandshakes,
		FailedHandshakes:         c.failedHandshakes,
		MaxMessagesPerConnection: c.maxPerConnection,
		SmallestRTTMicroseconds:  int(c.smallestRTT),
	}
	for _, at := range c.arrivals {
		if at > after {
			s.MailsAfter++
		}
	}
	if n := len(c.arrivals); n > 0 {
		s.FirstMessageNS, s.LastMessageNS = c.arrivals[0], c.arrivals[n-1]
	}
	return s
}
